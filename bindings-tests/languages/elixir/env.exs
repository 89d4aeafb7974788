IO.puts(System.get_env("GREETING"))
