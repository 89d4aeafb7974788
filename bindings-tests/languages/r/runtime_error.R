stop("no way on")
