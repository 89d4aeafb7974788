// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers the lines of ../driver.py.
import { Client, UnsandboxError } from "./unsandbox.ts";

const clients = new Map<string, Client>();
async function answer(line: string): Promise<string> {
  const [baseUrl, key, method, json] = line.split("\t");
  const name = `${baseUrl}\t${key}`;
  try {
    if (!clients.has(name)) clients.set(name, new Client({ baseUrl, apiKey: key === "-" ? undefined : key }));
    return `ok\t${await clients.get(name)!.callJson(method, json)}\n`;
  } catch (error) {
    if (!(error instanceof UnsandboxError)) throw error;
    return `${error.code}\t${error.message}\n`;
  }
}

let rest: string[] = [];
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const parts = chunk.split("\n");
  rest.push(parts.shift()!);
  while (parts.length) {
    let reply = new TextEncoder().encode(await answer(rest.join("")));
    while (reply.length) reply = reply.subarray(Deno.stdout.writeSync(reply));
    rest = [parts.shift()!];
  }
}
for (const client of clients.values()) client.close();
