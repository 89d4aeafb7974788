word = "several"
