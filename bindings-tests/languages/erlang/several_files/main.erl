-module(app).
-include("words.hrl").
-export([main/1]).
main(_) -> util:say(?WORD).
