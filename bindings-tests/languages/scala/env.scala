object Env extends App {
  println(sys.env("GREETING"))
}
