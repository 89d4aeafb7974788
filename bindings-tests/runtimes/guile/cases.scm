;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Answers the lines of ../driver.py.
(use-modules (unsandbox) (ice-9 rdelim))

(set-port-encoding! (current-input-port) "UTF-8")
(set-port-encoding! (current-output-port) "UTF-8")
(define clients (make-hash-table))

(define (client-of url key)
  (let ((name (list url key)))
    (or (hash-ref clients name)
        (let ((client (make-client #:base-url url #:api-key (and (not (string=? key "-")) key))))
          (hash-set! clients name client)
          client))))

(let loop ((line (read-line)))
  (unless (eof-object? line)
    (let ((words (string-split line #\tab)))
      (catch 'unsandbox-error
        (lambda ()
          (let ((reply (call-json (client-of (car words) (cadr words)) (caddr words) (cadddr words))))
            (display (string-append "ok\t" reply "\n"))))
        (lambda (key code message) (display (string-append code "\t" message "\n"))))
      (force-output)
      (loop (read-line)))))
(hash-for-each (lambda (name client) (close-client client)) clients)
