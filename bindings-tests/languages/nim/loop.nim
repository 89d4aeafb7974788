echo "started"
flushFile(stdout)
while true:
  discard
