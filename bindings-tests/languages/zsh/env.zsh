print -r -- "$GREETING"
