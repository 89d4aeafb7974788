main(_) ->
    io:format("started~n"),
    loop().

loop() -> loop().
