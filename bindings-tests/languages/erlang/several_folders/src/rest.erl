-module(rest).
-export([word/0]).
word() -> "al".
