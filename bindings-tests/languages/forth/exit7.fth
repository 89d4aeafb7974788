7 (bye)
