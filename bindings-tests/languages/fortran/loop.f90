program loops
  print '(a)', 'started'
  flush(6)
  do
  end do
end program loops
