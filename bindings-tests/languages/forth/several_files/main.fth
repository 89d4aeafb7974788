include util.fs
word-of type cr
