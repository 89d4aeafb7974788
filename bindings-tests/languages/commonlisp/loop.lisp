(write-line "started")
(finish-output)
(loop)
