program p
  use words, only: word
  use omp_lib
  implicit none
  integer :: total, i
  total = 0
!$omp parallel do reduction(+:total)
  do i = 1, 4
    total = total + i
  end do
  if (total == 10 .and. omp_get_max_threads() > 0) print '(a)', word
end program
