import { readFileSync } from "node:fs";

process.stdout.write(readFileSync("data.txt", "utf8"));
