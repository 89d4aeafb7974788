(with-open-file (in "data.txt")
  (loop for line = (read-line in nil)
        while line do (write-line line)))
