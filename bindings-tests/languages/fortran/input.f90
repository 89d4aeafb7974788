program reads
  implicit none
  character(len=256) :: line
  integer :: status
  open(10, file='data.txt', status='old')
  do
    read(10, '(a)', iostat=status) line
    if (status /= 0) exit
    print '(a)', trim(line)
  end do
end program reads
