// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote: mcs Unsandbox.cs Hello.cs && mono Hello.exe
using System;
using Unsandbox;

static class Hello {
    static int Main() {
        using (var client = new Client()) {
            Result result = client.Execute("python", "print(6 * 7)");
            Console.OpenStandardOutput().Write(result.Stdout, 0, result.Stdout.Length);
            return result.ExitCode;
        }
    }
}
