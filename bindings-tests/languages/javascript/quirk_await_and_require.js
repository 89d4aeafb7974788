const { EOL } = require("os");
process.stdout.write((await Promise.resolve("quirk")) + EOL);
