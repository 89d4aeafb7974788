default rel
extern say
global main
section .text
main:
  sub rsp, 8
  call say wrt ..plt
  add rsp, 8
  xor eax, eax
  ret
