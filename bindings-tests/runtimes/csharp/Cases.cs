// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers the lines of ../driver.py.
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using Unsandbox;

static class Cases {
    static readonly Dictionary<string, Client> clients = new Dictionary<string, Client>();

    static string Answer(string[] words) {
        string name = words[0] + "\t" + words[1];
        try {
            if (!clients.ContainsKey(name)) clients[name] = new Client(words[0], words[1] == "-" ? null : words[1]);
            return "ok\t" + clients[name].CallJson(words[2], words[3]);
        } catch (UnsandboxException error) {
            return error.Code + "\t" + error.Message;
        }
    }

    static void Main() {
        var utf8 = new UTF8Encoding(false);
        var input = new StreamReader(Console.OpenStandardInput(), utf8);
        var output = new StreamWriter(Console.OpenStandardOutput(), utf8) { NewLine = "\n" };
        for (string line = input.ReadLine(); line != null; line = input.ReadLine()) {
            output.WriteLine(Answer(line.Split(new[] { '\t' }, 4)));
            output.Flush();
        }
        foreach (Client client in clients.Values) client.Dispose();
    }
}
