using System.Threading.Tasks;

var point = new Point();
await Task.Delay(1);
Console.WriteLine(point.Word);
return 0;

class Point { public string Word = "quirk"; }
