-module(quirk).
-export([start/0]).

start() -> io:format("quirk~n").
