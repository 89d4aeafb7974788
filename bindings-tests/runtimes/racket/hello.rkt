#lang racket/base
;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Runs one program and prints what it wrote: racket hello.rkt
(require "unsandbox.rkt")

(define client (make-client))
(define result (call client "execute" (hash 'language "python" 'code "print(6 * 7)")))
(void (write-string (hash-ref result 'stdout)))
(close-client client)
(exit (hash-ref result 'exit_code))
