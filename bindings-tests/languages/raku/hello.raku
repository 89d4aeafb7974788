say "hello from raku";
