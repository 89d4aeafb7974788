set file [open data.txt]
puts -nonewline [read $file]
