using System;

Console.WriteLine("hello from dotnet");
