using System;

Console.WriteLine(Environment.GetEnvironmentVariable("GREETING"));
