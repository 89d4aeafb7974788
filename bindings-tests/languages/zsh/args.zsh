for arg in "$@"; do print -r -- "$arg"; done
