main(_) ->
    io:format("~ts~n", [os:getenv("GREETING")]).
