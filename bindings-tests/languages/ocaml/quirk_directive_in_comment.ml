(* #use "old.ml" *)
let () = print_endline "quirk"
