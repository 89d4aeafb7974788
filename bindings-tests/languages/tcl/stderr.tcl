puts stderr "oops"
