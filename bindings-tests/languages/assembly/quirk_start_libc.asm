extern puts, exit
global _start

section .data
text: db "quirk", 0

section .text
_start:
    and rsp, -16
    mov rdi, text
    call puts
    xor edi, edi
    call exit
