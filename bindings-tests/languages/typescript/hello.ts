const word: string = "typescript";
console.log(`hello from ${word}`);
