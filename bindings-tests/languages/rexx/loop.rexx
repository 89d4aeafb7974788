say 'started'
do forever
  nop
end
