// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote: deno run --allow-ffi hello.ts
import { Client } from "./unsandbox.ts";

const client = new Client();
const result = await client.call("execute", { language: "python", code: "print(6 * 7)" });
Deno.stdout.writeSync(new TextEncoder().encode(result.stdout));
client.close();
Deno.exit(result.exit_code);
