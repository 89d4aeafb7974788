cat data.txt
