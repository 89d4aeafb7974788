(define (depth n) (if (= n 0) 0 (+ 1 (depth (- n 1)))))
(display (if (= (depth 500000) 500000) "quirk" "wrong"))
(newline)
