BEGIN { while ((getline line < "data.txt") > 0) print line }
