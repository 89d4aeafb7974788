puts "started"
STDOUT.flush
while true
end
