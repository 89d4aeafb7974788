const { part } = await import("./util");
import { rest } from "./rest.ts";

console.log(part + rest);
