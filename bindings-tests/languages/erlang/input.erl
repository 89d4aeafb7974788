main(_) ->
    {ok, Text} = file:read_file("data.txt"),
    io:put_chars(Text).
