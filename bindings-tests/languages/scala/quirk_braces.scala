package outer {
  package object inner { val word = "quirk" }
  package inner {
    object Main { def main(args: Array[String]): Unit = println(word) }
  }
}
