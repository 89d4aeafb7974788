println("hello from julia")
