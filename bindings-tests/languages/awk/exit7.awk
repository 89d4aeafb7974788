BEGIN { exit 7 }
