object Broken extends App {
  val number: Int = "text"
}
