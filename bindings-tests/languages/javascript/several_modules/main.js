const { word } = await import("./util.js");
console.log(word);
