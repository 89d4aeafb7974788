let () =
  let file = open_in "data.txt" in
  print_string (really_input_string file (in_channel_length file))
