print "data.txt".IO.slurp;
