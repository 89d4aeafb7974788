global main
section .text
main:
    mov eax, 1
    ret
