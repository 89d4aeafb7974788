// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers the lines of ../driver.py.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

public final class Cases {
    public static void main(String[] args) throws java.io.IOException {
        Map<String, Unsandbox> clients = new HashMap<>();
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split("\t", 4);
            try {
                String key = words[1].equals("-") ? null : words[1];
                Unsandbox client =
                        clients.computeIfAbsent(words[0] + "\t" + key, name -> new Unsandbox(words[0], key));
                out.print("ok\t" + client.callJson(words[2], words[3]) + "\n");
            } catch (Unsandbox.Failure failure) {
                out.print(failure.code + "\t" + failure.getMessage() + "\n");
            }
            out.flush();
        }
        clients.values().forEach(Unsandbox::close);
    }
}
