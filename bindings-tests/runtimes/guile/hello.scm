;; SPDX-License-Identifier: MIT OR Apache-2.0
;; Runs one program and prints what it wrote: guile -L . hello.scm
(use-modules (unsandbox) (ice-9 receive))

(define client (make-client))
(receive (output exit-code) (execute client "python" "print(6 * 7)")
  (display output)
  (close-client client)
  (exit exit-code))
