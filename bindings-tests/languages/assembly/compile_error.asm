        global main
main:   no_such_instruction rax
