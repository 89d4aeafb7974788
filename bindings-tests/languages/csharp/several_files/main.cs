System.Console.WriteLine(Words.One);
