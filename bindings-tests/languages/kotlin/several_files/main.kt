fun main() = println(word())
