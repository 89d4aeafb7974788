println(ENV["GREETING"])
