%include "words.asm"
global main
extern puts
section .text
main:
    sub rsp, 8
    mov rdi, text
    call puts
    xor eax, eax
    add rsp, 8
    ret
