program broken
  error stop 'no way on'
end program broken
