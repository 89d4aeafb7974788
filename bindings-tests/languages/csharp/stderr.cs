System.Console.Error.WriteLine("oops");
