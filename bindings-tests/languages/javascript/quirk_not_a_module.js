const text = "import x from 'y'", pattern = /export default await/, o = { async import() { await null; } };
console.log(text.length === 17 && !pattern.test(text) && require("path").sep && module.exports === exports && o ? "quirk" : __filename);
