module inner
  character(len=7) :: word = "several"
end module
