program envs
  implicit none
  character(len=256) :: greeting
  call get_environment_variable('GREETING', greeting)
  print '(a)', trim(greeting)
end program envs
