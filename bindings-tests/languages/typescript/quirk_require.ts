const fs = require("fs");
console.log(typeof fs.readFileSync === "function" ? "quirk" : "wrong");
