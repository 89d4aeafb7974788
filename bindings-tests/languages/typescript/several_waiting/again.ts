import { word as before } from "./lib/word";
export const word = before;
