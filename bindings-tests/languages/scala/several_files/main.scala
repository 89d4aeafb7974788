object Main extends App { println(Words.one) }
