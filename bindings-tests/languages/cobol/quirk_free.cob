identification division.
program-id. quirk.
procedure division.
display "quirk".
stop run.
