System.in.eachLine { println it.toUpperCase() }
