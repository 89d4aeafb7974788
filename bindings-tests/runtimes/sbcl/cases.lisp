;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Answers the lines of ../driver.py.
(load (merge-pathnames "unsandbox.lisp" *load-truename*))

(defvar *out* (sb-sys:make-fd-stream 1 :output t :external-format :utf-8 :buffering :full))
(defvar *in* (sb-sys:make-fd-stream 0 :input t :external-format :utf-8 :buffering :full))
(defvar *clients* (make-hash-table :test #'equal))

(defun words (line)
  (loop for start = 0 then (1+ end)
        for end = (position #\Tab line :start start)
        collect (subseq line start end)
        while end))

(defun client-of (url key)
  (let ((name (list url key)))
    (or (gethash name *clients*)
        (setf (gethash name *clients*)
              (unsandbox:make-client :base-url url :api-key (unless (string= key "-") key))))))

(loop for line = (read-line *in* nil)
      while line
      do (destructuring-bind (url key method json) (words line)
           (handler-case
               (format *out* "ok~C~A~%" #\Tab (unsandbox:call-json (client-of url key) method json))
             (unsandbox:failure (failure)
               (format *out* "~A~C~A~%" (unsandbox:failure-code failure) #\Tab failure))))
         (finish-output *out*))
(maphash (lambda (name client) (declare (ignore name)) (unsandbox:close-client client)) *clients*)
