(format t "hello from commonlisp~%")
