puts "started"
flush stdout
while 1 {}
