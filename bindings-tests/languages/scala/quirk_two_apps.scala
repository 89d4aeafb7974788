object Other extends App { println("other") }
object Main extends App { println("quirk") }
