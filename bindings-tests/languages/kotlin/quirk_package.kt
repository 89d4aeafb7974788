package com.example

object Words { val word = "quirk" }

fun main(args: Array<String>) = println(Words.word)
