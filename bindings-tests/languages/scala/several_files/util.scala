object Words { val one = "several" }
