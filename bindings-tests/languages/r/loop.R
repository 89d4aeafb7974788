cat("started\n")
flush(stdout())
while (TRUE) {}
