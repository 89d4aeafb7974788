STDERR.puts "oops"
