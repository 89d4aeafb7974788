word(several).
