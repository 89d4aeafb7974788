-module(util).
-export([say/1]).
say(Word) -> io:format("~s~n", [Word]).
