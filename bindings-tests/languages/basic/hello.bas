PRINT "hello from basic"
