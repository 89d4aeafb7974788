import { part } from "./util";
import { more } from "./more.js";
import data from "./data.json";

const rest = await Promise.resolve(data.rest);
console.log(part + more + rest);
