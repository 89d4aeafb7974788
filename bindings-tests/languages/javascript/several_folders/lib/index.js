import { word } from "./word.js";
export const first = await Promise.resolve(word);
