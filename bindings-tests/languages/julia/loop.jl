println("started")
flush(stdout)
while true end
