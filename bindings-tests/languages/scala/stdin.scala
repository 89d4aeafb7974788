object Upper extends App {
  scala.io.Source.stdin.getLines.foreach(line => println(line.toUpperCase))
}
