do forever
  line = linein()
  if line == '' & lines() = 0 then leave
  say translate(line)
end
