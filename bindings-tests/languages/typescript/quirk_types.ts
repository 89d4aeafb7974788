const word: number = "quirk";
console.log(word);
