// SPDX-License-Identifier: MIT OR Apache-2.0
// The view that runs a program: language, code and options; live output; stop.

import { ask, cancel, events } from "./api.js";
import { at, fill, h } from "./dom.js";
import { editor } from "./editor.js";
import * as options from "./options.js";
import { Execution } from "./result.js";
import { SAMPLES } from "./samples.js";

const DRAFT = "unsandbox.draft";

let code;
let shown;
let running = null;
/** The sample in the editor: it makes room for that of another language, a program of the user does not. */
let sample = "";

/** Builds the view; `onJob` is told the jobs that it submits. */
export function setUp(onJob) {
  const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null");
  sample = draft ? "" : SAMPLES.python;
  code = editor(at("editor"), { text: draft?.code ?? sample, onChange: keep, onRun: run });
  shown = new Execution(at("run-result"), "The output of the program appears here.", options.addOutputs);
  options.setUp();
  listLanguages(draft?.language ?? "python", ["python"]);
  at("language").addEventListener("change", changeLanguage);
  at("run-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  at("run-form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.defaultPrevented) {
      event.preventDefault();
      run();
    }
  });
  at("stop").addEventListener("click", stop);
  at("submit-job").addEventListener("click", () => submit(onJob));
}

/** Asks the server for its languages. */
export async function refresh() {
  const { languages } = await ask("languages");
  listLanguages(at("language").value, languages);
}

function listLanguages(chosen, names) {
  const all = [...new Set([...names, ...(chosen ? [chosen] : [])])].sort();
  const rows = all.map((name) => h("option", { value: name }, name));
  fill(at("language"), h("option", { value: "" }, "detect it"), rows);
  at("language").value = chosen;
  code.setLanguage(chosen);
}

function changeLanguage() {
  const language = at("language").value;
  const text = code.text();
  if (Object.hasOwn(SAMPLES, language) && (text === sample || text.trim() === "")) {
    sample = SAMPLES[language];
    code.replace(sample);
  }
  code.setLanguage(language);
  keep();
}

function keep() {
  sessionStorage.setItem(DRAFT, JSON.stringify({ code: code.text(), language: at("language").value }));
}

async function request() {
  const language = at("language").value;
  const body = { ...(language && { language }), code: code.text(), ...(await options.read()) };
  return { path: language ? "execute" : "run", body };
}

function busy(isBusy) {
  at("stop").disabled = !isBusy;
  at("run").disabled = isBusy;
  at("run-form").setAttribute("aria-busy", String(isBusy));
}

async function run() {
  if (running) return;
  const controller = (running = new AbortController());
  shown.clear("starting");
  busy(true);
  try {
    const { path, body } = await request();
    for await (const event of events(path, { method: "POST", body, signal: controller.signal })) shown.take(event);
    if (!shown.ended) shown.fail("the connection ended before the program did; the server has cancelled it");
  } catch (error) {
    shown.fail(controller.signal.aborted ? "stopped before it had begun" : error.message);
  } finally {
    const hadFocus = document.activeElement === at("stop");
    running = null;
    busy(false);
    if (hadFocus) at("run").focus();
  }
}

/** Ends what runs and forgets what it gave: it belongs to another key. */
export function forget() {
  running?.abort();
  shown.clear();
}

async function stop() {
  if (!running) return;
  const controller = running;
  shown.say("stopping", "");
  try {
    // The stream then tells the end, with the output until then.
    if (shown.jobId) await cancel(shown.jobId);
    else controller.abort();
  } catch {
    controller.abort();
  }
}

async function submit(onJob) {
  try {
    const { path, body } = await request();
    onJob(await ask(`${path}/async`, { method: "POST", body }));
  } catch (error) {
    shown.clear();
    shown.fail(error.message);
  }
}
