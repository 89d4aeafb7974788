(write-line (sb-ext:posix-getenv "GREETING"))
