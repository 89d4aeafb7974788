using System;

namespace Words
{
    class Old { static void Main() { Console.WriteLine("old"); } }

    class Outer
    {
        class Program { static int Main(string[] args) { Console.WriteLine(@"qu" + "irk"); return 0; } }
    }
}
