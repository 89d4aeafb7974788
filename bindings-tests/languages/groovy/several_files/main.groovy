println Words.one()
