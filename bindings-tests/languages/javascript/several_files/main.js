import { createRequire } from "module";
import { Worker } from "worker_threads";
import { part } from "./util.mjs";

const rest = createRequire(import.meta.url)("./rest.cjs");
const worker = new Worker(new URL("./worker.mjs", import.meta.url), { workerData: part });
worker.on("message", (text) => console.log(text + rest));
