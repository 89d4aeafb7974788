// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers the lines of ../driver.py.
'use strict';
const readline = require('node:readline');
const { Client, UnsandboxError } = require('./unsandbox');

async function main() {
  const clients = new Map();
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const [baseUrl, key, method, json] = line.split('\t');
    try {
      const name = `${baseUrl}\t${key}`;
      if (!clients.has(name)) clients.set(name, new Client({ baseUrl, apiKey: key === '-' ? undefined : key }));
      process.stdout.write(`ok\t${await clients.get(name).callJson(method, json)}\n`);
    } catch (error) {
      if (!(error instanceof UnsandboxError)) throw error;
      process.stdout.write(`${error.code}\t${error.message}\n`);
    }
  }
  for (const client of clients.values()) client.close();
}

main();
