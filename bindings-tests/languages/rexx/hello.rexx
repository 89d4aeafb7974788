say "hello from rexx"
