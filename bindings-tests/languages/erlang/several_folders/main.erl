-module(prog).
-include("include/words.hrl").
-export([main/1]).
main(_) -> io:format("~s~s~n", [?FIRST, rest:word()]).
