let () = print_endline (Outer.word ())
