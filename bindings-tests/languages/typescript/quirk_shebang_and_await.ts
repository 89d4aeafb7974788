#!/usr/bin/env ts-node
const word: string = await Promise.resolve("quirk");
console.log(word);
