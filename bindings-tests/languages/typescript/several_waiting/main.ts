import { word } from "./lib";
import * as again from "./again.ts";
import settings from "./settings.json";

const later = await import("./lib/word");
console.log([word, again.word, later.word].every((one) => one === settings.word) ? word : "not ready");
