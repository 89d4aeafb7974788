#lang racket
(error "no way on")
