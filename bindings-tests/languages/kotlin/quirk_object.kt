object Main {
    @JvmStatic
    fun main(args: Array<String>) {
        println("quirk")
    }
}
