fun loop () =
  case TextIO.inputLine TextIO.stdIn of
    NONE => ()
  | SOME line => (print (String.map Char.toUpper line); loop ());

val () = loop ();
