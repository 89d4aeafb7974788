-module(upper).
-export([start/0]).

start() ->
    case io:get_line("") of
        eof -> ok;
        Line -> io:put_chars(string:uppercase(Line)), start()
    end.
