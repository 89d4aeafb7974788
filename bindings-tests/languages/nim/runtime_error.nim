raise newException(ValueError, "no way on")
