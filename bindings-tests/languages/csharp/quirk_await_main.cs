using System;
using System.Threading.Tasks;

static class Words
{
    [STAThread]
    static async Task<int> Main(string[] args)
    {
        await Task.Yield();
        Console.WriteLine("quirk");
        return args.Length;
    }
}
