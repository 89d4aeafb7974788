using System;

class Loop {
    static void Main() {
        Console.WriteLine("started");
        while (true) { }
    }
}
