#lang racket/base
;; SPDX-License-Identifier: MIT OR Apache-2.0
;; unsandbox from Racket, through ffi/unsafe.
(require ffi/unsafe ffi/unsafe/define json)
(provide make-client close-client call call-json (struct-out exn:unsandbox))

;; `code` is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, …
(struct exn:unsandbox exn:fail (code))

(define-ffi-definer define-c (ffi-lib "libunsandbox.so.0.1"))
(define-syntax-rule (operation name type ...)
  (define-c name
    (_fun type ... [err : (_ptr o _pointer)] -> [status : _int32] -> (check status err))))

(define-c unsandbox_error_name (_fun _pointer _pointer -> _string/utf-8))
(define-c unsandbox_error_message (_fun _pointer _pointer -> _string/utf-8))
(define-c unsandbox_error_free (_fun _pointer -> _void))
(define-c unsandbox_config_free (_fun _pointer -> _void))
(define-c unsandbox_client_free (_fun _pointer -> _void))
(define-c unsandbox_string_free (_fun _pointer -> _void))
(operation unsandbox_config_new _pointer)
(operation unsandbox_config_set_base_url _pointer _bytes _size)
(operation unsandbox_config_set_api_key _pointer _bytes _size)
(operation unsandbox_client_from_env _pointer)
(operation unsandbox_client_new _pointer _pointer)
(operation unsandbox_client_call_json _pointer _bytes _size _bytes _size _pointer _pointer)

(define (check status err)
  (unless (zero? status)
    (define code (unsandbox_error_name err #f))
    (define message (unsandbox_error_message err #f))
    (unsandbox_error_free err)
    (raise (exn:unsandbox message (current-continuation-marks) code))))

;; Where an output is written to, outside of the collector's reach.
(define (with-slots count use)
  (define slots (malloc (* count 8) 'raw))
  (memset slots 0 (* count 8))
  (dynamic-wind void (lambda () (use slots)) (lambda () (free slots))))

;; Without settings they come from the environment.
(define (make-client #:base-url [base-url #f] #:api-key [api-key #f])
  (with-slots 2
    (lambda (slots)
      (define (set setter config text)
        (define bytes (string->bytes/utf-8 text))
        (setter config bytes (bytes-length bytes)))
      (cond
        [(not base-url) (unsandbox_client_from_env slots)]
        [else
         (unsandbox_config_new (ptr-add slots 8))
         (define config (ptr-ref slots _pointer 1))
         (dynamic-wind
          void
          (lambda ()
            (set unsandbox_config_set_base_url config base-url)
            (when api-key (set unsandbox_config_set_api_key config api-key))
            (unsandbox_client_new config slots))
          (lambda () (unsandbox_config_free config)))])
      (ptr-ref slots _pointer 0))))

(define (close-client client) (unsandbox_client_free client))

;; Calls a method ("execute", "run", "get_job", …) with JSON as bytes and gives JSON as bytes.
(define (call-json client method json)
  (with-slots 2
    (lambda (slots)
      (define name (string->bytes/utf-8 method))
      (unsandbox_client_call_json
       client name (bytes-length name) json (bytes-length json) slots (ptr-add slots 8))
      (define out (ptr-ref slots _pointer 0))
      (define reply (make-bytes (ptr-ref slots _size 1)))
      (memcpy reply out (bytes-length reply))
      (unsandbox_string_free out)
      reply)))

;; The same with a hash.
(define (call client method fields)
  (bytes->jsexpr (call-json client method (jsexpr->bytes fields))))
