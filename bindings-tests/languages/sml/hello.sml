val () = print "hello from sml\n"
