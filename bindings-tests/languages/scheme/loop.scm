(display "started")
(newline)
(force-output)
(let loop () (loop))
