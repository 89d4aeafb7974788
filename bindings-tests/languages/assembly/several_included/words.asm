section .data
text: db "several", 0
