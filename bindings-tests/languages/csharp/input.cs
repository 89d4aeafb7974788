using System;
using System.IO;

class Input {
    static void Main() { Console.Write(File.ReadAllText("data.txt")); }
}
