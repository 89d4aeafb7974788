import { readFileSync } from 'node:fs';

const text = await Promise.resolve('quirk');
console.log(typeof readFileSync === 'function' ? text : 'wrong');
