default rel
extern puts
global say
section .text
say:
  sub rsp, 8
  lea rdi, [word_]
  call puts wrt ..plt
  add rsp, 8
  ret
section .data
word_: db "several", 0
