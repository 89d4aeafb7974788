stderr.writeLine("oops")
