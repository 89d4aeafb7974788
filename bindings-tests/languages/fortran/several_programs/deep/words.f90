module words
  character(*), parameter :: word = "several"
end module
