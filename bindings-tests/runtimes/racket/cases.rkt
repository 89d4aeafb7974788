#lang racket/base
;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Answers the lines of ../driver.py.
(require "unsandbox.rkt")

(define clients (make-hash))
(define (client-of url key)
  (hash-ref! clients (list url key)
             (lambda () (make-client #:base-url url #:api-key (and (not (string=? key "-")) key)))))

(for ([line (in-bytes-lines)])
  (define words (cdr (regexp-match #rx#"^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$" line)))
  (define text (map bytes->string/utf-8 (list (car words) (cadr words) (caddr words))))
  (with-handlers ([exn:unsandbox?
                   (lambda (failure) (printf "~a\t~a\n" (exn:unsandbox-code failure) (exn-message failure)))])
    (define client (client-of (car text) (cadr text)))
    (define reply (call-json client (caddr text) (cadddr words)))
    (void (write-bytes (bytes-append #"ok\t" reply #"\n"))))
  (flush-output))
(for ([client (in-hash-values clients)]) (close-client client))
