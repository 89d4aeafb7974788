object Input extends App {
  print(scala.io.Source.fromFile("data.txt").mkString)
}
