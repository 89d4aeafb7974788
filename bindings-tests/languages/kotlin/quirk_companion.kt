class Main { companion object { @JvmStatic fun main(args: Array<String>) { println("quirk") } } }
