object Err extends App {
  Console.err.println("oops")
}
