fun main() {
    throw IllegalStateException("no way on")
}
