program errs
  use iso_fortran_env
  write(error_unit, '(a)') 'oops'
end program errs
