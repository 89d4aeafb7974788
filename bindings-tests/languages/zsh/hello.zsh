print "hello from zsh"
