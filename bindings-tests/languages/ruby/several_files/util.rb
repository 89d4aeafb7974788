WORD = "several"
