(dolist (arg (cdr sb-ext:*posix-argv*))
  (write-line arg))
