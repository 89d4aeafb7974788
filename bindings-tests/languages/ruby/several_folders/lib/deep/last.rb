LAST = "al"
