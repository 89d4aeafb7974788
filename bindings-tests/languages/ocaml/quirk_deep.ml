let rec depth n = if n = 0 then 0 else 1 + depth (n - 1)
let () = try ignore (depth 100_000_000) with Stack_overflow -> print_endline "quirk"
