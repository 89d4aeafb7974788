raise "no way on"
