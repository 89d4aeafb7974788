main(Args) ->
    [io:format("~ts~n", [Arg]) || Arg <- Args].
