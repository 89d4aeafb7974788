let word = "several"
