// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote: node hello.js
'use strict';
const { Client } = require('./unsandbox');

async function main() {
  const client = new Client();
  const result = await client.call('execute', { language: 'python', code: 'print(6 * 7)' });
  process.stdout.write(result.stdout);
  client.close();
  process.exitCode = result.exit_code;
}

main();
