(module util racket (provide tw) (define (tw x) (* 2 x)))
(require 'util)
(displayln (tw 3))
