using System;
var point = new Point { Word = "qu" };
Console.Write($"{point.Word}{Half(2)}");
Console.WriteLine();
return point.Word.Length - 2;

string Half(int n) => new string(new[] { 'i', 'r', 'k' }).Substring(0, n + 1);

class Point { public string Word; }
