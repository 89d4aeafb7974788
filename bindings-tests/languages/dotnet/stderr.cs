Console.Error.WriteLine("oops");
