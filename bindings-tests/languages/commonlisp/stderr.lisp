(write-line "oops" *error-output*)
