val file = TextIO.openIn "data.txt";
val () = print (TextIO.inputAll file);
