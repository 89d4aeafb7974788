program main
  use outer
  call say()
end program
