BEGIN { print "oops" > "/dev/stderr" }
