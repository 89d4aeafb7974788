01 word pic x(7) value "several".
