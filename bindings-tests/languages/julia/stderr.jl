println(stderr, "oops")
