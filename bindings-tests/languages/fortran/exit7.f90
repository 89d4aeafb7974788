program exits
  call exit(7)
end program exits
