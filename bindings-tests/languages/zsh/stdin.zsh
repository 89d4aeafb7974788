while IFS= read -r line; do print -r -- "${(U)line}"; done
