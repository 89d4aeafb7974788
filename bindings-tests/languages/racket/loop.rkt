#lang racket
(displayln "started")
(flush-output)
(let loop () (loop))
