error("no way on")
