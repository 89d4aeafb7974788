#lang racket
(provide word)
(define word "several")
