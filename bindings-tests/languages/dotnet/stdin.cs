string line;
while ((line = Console.ReadLine()) != null) Console.WriteLine(line.ToUpper());
