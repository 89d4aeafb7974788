;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Runs one program and prints what it wrote: sbcl --script hello.lisp
(load (merge-pathnames "unsandbox.lisp" *load-truename*))

(let ((client (unsandbox:make-client)))
  (multiple-value-bind (output exit-code) (unsandbox:execute client "python" "print(6 * 7)")
    (write-string output)
    (finish-output)
    (unsandbox:close-client client)
    (sb-ext:exit :code exit-code)))
