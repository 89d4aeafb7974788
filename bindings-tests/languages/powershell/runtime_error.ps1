throw "no way on"
