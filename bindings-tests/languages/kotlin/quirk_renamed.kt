@file:JvmName("Tool")
package words
/* fun main() { /* nested */ */
const val TEXT = """a "quoted""""
fun main(vararg args: String) = println(if (TEXT.length == 10) "quirk" else "${"}"}")
