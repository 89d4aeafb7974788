;; SPDX-License-Identifier: MIT OR Apache-2.0
;; unsandbox from SBCL, through sb-alien.
(defpackage :unsandbox
  (:use :cl :sb-alien)
  (:export #:make-client #:close-client #:execute #:call-json #:failure #:failure-code))
(in-package :unsandbox)

(load-shared-object "libunsandbox.so.0.1")

(define-condition failure (error)
  ((code :initarg :code :reader failure-code)
   (message :initarg :message :reader failure-message))
  (:report (lambda (failure stream) (write-string (failure-message failure) stream))))

(defmacro c (name result &rest typed)
  "Calls a C function; TYPED are pairs of a type and a value."
  `(alien-funcall
    (extern-alien ,name (function ,result ,@(loop for (type) on typed by #'cddr collect type)))
    ,@(loop for (nil value) on typed by #'cddr collect value)))

(defun octets-of (sap length)
  (let ((bytes (make-array length :element-type '(unsigned-byte 8))))
    (dotimes (i length (sb-ext:octets-to-string bytes :external-format :utf-8))
      (setf (aref bytes i) (sb-sys:sap-ref-8 sap i)))))

(defmacro with-octets (bindings &body body)
  "Binds each (SAP LENGTH TEXT) to the UTF-8 of a text, which stays where it is meanwhile."
  (if (null bindings)
      `(progn ,@body)
      (destructuring-bind (sap length text) (first bindings)
        (let ((bytes (gensym)))
          `(let* ((,bytes (coerce (sb-ext:string-to-octets ,text :external-format :utf-8)
                                  '(simple-array (unsigned-byte 8) (*))))
                  (,length (length ,bytes)))
             (sb-sys:with-pinned-objects (,bytes)
               (let ((,sap (sb-sys:vector-sap ,bytes)))
                 (with-octets ,(rest bindings) ,@body))))))))

(defmacro checked (name &rest typed)
  "Calls an operation, whose last argument receives an error."
  `(with-alien ((err system-area-pointer (sb-sys:int-sap 0)))
     (unless (zerop (c ,name int ,@typed (* system-area-pointer) (addr err)))
       (let ((code (c "unsandbox_error_name" c-string system-area-pointer err (* t) nil))
             (message (c "unsandbox_error_message" (c-string :external-format :utf-8)
                         system-area-pointer err (* t) nil)))
         (c "unsandbox_error_free" void system-area-pointer err)
         (error 'failure :code code :message message)))))

(defun set-up (config base-url api-key)
  (with-octets ((url url-length base-url) (key key-length (or api-key "")))
    (checked "unsandbox_config_set_base_url" system-area-pointer config
             system-area-pointer url size-t url-length)
    (when api-key
      (checked "unsandbox_config_set_api_key" system-area-pointer config
               system-area-pointer key size-t key-length))))

(defun make-client (&key base-url api-key)
  "Without settings they come from the environment."
  (with-alien ((client system-area-pointer) (config system-area-pointer))
    (if (null base-url)
        (checked "unsandbox_client_from_env" (* system-area-pointer) (addr client))
        (progn
          (checked "unsandbox_config_new" (* system-area-pointer) (addr config))
          (unwind-protect
               (progn
                 (set-up config base-url api-key)
                 (checked "unsandbox_client_new" system-area-pointer config
                          (* system-area-pointer) (addr client)))
            (c "unsandbox_config_free" void system-area-pointer config))))
    client))

(defun close-client (client) (c "unsandbox_client_free" void system-area-pointer client))

(defun execute (client language code)
  "Runs a program; gives its output and its exit code."
  (with-alien ((request system-area-pointer) (result system-area-pointer) (length size-t))
    (with-octets ((name name-length language) (text text-length code))
      (checked "unsandbox_request_new" system-area-pointer name size-t name-length
               system-area-pointer text size-t text-length (* system-area-pointer) (addr request)))
    (unwind-protect
         (checked "unsandbox_client_execute" system-area-pointer client system-area-pointer request
                  (* t) nil (* system-area-pointer) (addr result))
      (c "unsandbox_request_free" void system-area-pointer request))
    (let ((data (c "unsandbox_result_stdout" system-area-pointer system-area-pointer result
                   (* size-t) (addr length))))
      (multiple-value-prog1
          (values (octets-of data length)
                  (c "unsandbox_result_exit_code" int system-area-pointer result))
        (c "unsandbox_result_free" void system-area-pointer result)))))

(defun call-json (client method json)
  "Calls a method (execute, run, get_job, ...) with JSON and gives JSON."
  (with-alien ((out system-area-pointer) (length size-t))
    (with-octets ((name name-length method) (body body-length json))
      (checked "unsandbox_client_call_json" system-area-pointer client
               system-area-pointer name size-t name-length system-area-pointer body size-t body-length
               (* system-area-pointer) (addr out) (* size-t) (addr length)))
    (prog1 (octets-of out length)
      (c "unsandbox_string_free" void system-area-pointer out))))
