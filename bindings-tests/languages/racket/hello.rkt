#lang racket
(displayln "hello from racket")
