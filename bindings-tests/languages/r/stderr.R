message("oops")
