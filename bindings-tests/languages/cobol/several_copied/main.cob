identification division.
program-id. p.
data division.
working-storage section.
copy words.
procedure division.
display word.
stop run.
