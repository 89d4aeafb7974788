val word = "quirk"
println(word)
