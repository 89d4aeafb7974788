foreach(println, ARGS)
