;; SPDX-License-Identifier: MIT OR Apache-2.0
;; unsandbox from Guile, through its foreign-function interface.
(define-module (unsandbox)
  #:use-module (system foreign)
  #:use-module (system foreign-library)
  #:use-module (rnrs bytevectors)
  #:export (make-client close-client execute call-json))

(define (c name . types)
  (foreign-library-function "libunsandbox.so.0.1" name #:return-type (car types) #:arg-types (cdr types)))

(define config-new (c "unsandbox_config_new" int32 '* '*))
(define config-set-base-url (c "unsandbox_config_set_base_url" int32 '* '* size_t '*))
(define config-set-api-key (c "unsandbox_config_set_api_key" int32 '* '* size_t '*))
(define config-free (c "unsandbox_config_free" void '*))
(define client-from-env (c "unsandbox_client_from_env" int32 '* '*))
(define client-new (c "unsandbox_client_new" int32 '* '* '*))
(define client-free (c "unsandbox_client_free" void '*))
(define client-execute (c "unsandbox_client_execute" int32 '* '* '* '* '*))
(define client-call-json (c "unsandbox_client_call_json" int32 '* '* size_t '* size_t '* '* '*))
(define request-new (c "unsandbox_request_new" int32 '* size_t '* size_t '* '*))
(define request-free (c "unsandbox_request_free" void '*))
(define result-stdout (c "unsandbox_result_stdout" '* '* '*))
(define result-exit-code (c "unsandbox_result_exit_code" int32 '*))
(define result-free (c "unsandbox_result_free" void '*))
(define error-name (c "unsandbox_error_name" '* '* '*))
(define error-message (c "unsandbox_error_message" '* '* '*))
(define error-free (c "unsandbox_error_free" void '*))
(define string-free (c "unsandbox_string_free" void '*))

;; Where an output is written to, and what was written.
(define (slot) (make-bytevector (sizeof '*) 0))
(define (slot-pointer slot) (make-pointer (slot-number slot)))
(define (slot-number slot) (bytevector-uint-ref slot 0 (native-endianness) (sizeof '*)))

;; Text as the pointer and the length that the library takes.
(define (text string)
  (let ((bytes (string->utf8 string)))
    (list (bytevector->pointer bytes) (bytevector-length bytes))))

(define (bytes->string pointer length)
  (if (zero? length) "" (utf8->string (pointer->bytevector pointer length))))

;; Calls a function whose last argument receives an error: (throw 'unsandbox-error code message).
(define (check function . arguments)
  (let ((err (slot)))
    (unless (zero? (apply function (append arguments (list (bytevector->pointer err)))))
      (let* ((error (slot-pointer err))
             (code (pointer->string (error-name error %null-pointer)))
             (message (pointer->string (error-message error %null-pointer) -1 "UTF-8")))
        (error-free error)
        (throw 'unsandbox-error code message)))))

;; Without settings they come from the environment.
(define* (make-client #:key base-url api-key)
  (let ((client (slot)) (config (slot)))
    (if base-url
        (dynamic-wind
          (lambda () (check config-new (bytevector->pointer config)))
          (lambda ()
            (apply check config-set-base-url (slot-pointer config) (text base-url))
            (when api-key (apply check config-set-api-key (slot-pointer config) (text api-key)))
            (check client-new (slot-pointer config) (bytevector->pointer client)))
          (lambda () (config-free (slot-pointer config))))
        (check client-from-env (bytevector->pointer client)))
    (slot-pointer client)))

(define (close-client client) (client-free client))

;; Runs a program; gives its output and its exit code.
(define (execute client language code)
  (let ((request (slot)) (result (slot)) (length (slot)))
    (apply check request-new (append (text language) (text code) (list (bytevector->pointer request))))
    (dynamic-wind
      (const #t)
      (lambda () (check client-execute client (slot-pointer request) %null-pointer (bytevector->pointer result)))
      (lambda () (request-free (slot-pointer request))))
    (let* ((data (result-stdout (slot-pointer result) (bytevector->pointer length)))
           (output (bytes->string data (slot-number length)))
           (exit-code (result-exit-code (slot-pointer result))))
      (result-free (slot-pointer result))
      (values output exit-code))))

;; Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.
(define (call-json client method json)
  (let ((out (slot)) (length (slot)))
    (apply check client-call-json client
           (append (text method) (text json) (map bytevector->pointer (list out length))))
    (let ((reply (bytes->string (slot-pointer out) (slot-number length))))
      (string-free (slot-pointer out))
      reply)))
