print -u2 oops
