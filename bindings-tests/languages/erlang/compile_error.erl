main(_) ->
    Undeclared.
