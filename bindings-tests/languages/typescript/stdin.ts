import * as fs from "fs";

const text: string = fs.readFileSync(0, "utf8");
process.stdout.write(text.toUpperCase());
