for (line in readLines("data.txt")) cat(line, "\n", sep = "")
