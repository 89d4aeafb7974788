puts "hello from crystal"
