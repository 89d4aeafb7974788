const word: string = "deno";
console.log(`hello from ${word}`);
