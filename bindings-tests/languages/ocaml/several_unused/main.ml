let () = print_endline (Words.word ())
