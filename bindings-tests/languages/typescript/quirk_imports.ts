import fs from "fs";
import path from "path";
// const old = require("old");
const word = typeof fs.readFileSync === "function" && path.basename(__dirname).length > 0 ? "quirk" : "";
console.log(word);
