for line in eachline(stdin)
    println(uppercase(line))
end
