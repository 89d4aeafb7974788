using System;

var word = "quirk";
Console.WriteLine($"{word}");
