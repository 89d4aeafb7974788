return "al"
