BEGIN { n = 1; n[1] = 2 }
