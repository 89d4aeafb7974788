import { first } from "./lib/index.js";
import { readFileSync } from "node:fs";
console.log([first, require("./middle.json").word, readFileSync(`${__dirname}/last.txt`, "utf8").trim()].join(""));
