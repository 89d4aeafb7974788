object Loop extends App {
  println("started")
  while (true) {}
}
