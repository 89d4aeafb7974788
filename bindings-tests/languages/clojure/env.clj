(println (System/getenv "GREETING"))
