object Broken {
  def main(args: Array[String]): Unit = throw new RuntimeException("no way on")
}
