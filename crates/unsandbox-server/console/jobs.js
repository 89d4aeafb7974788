// SPDX-License-Identifier: MIT OR Apache-2.0
// The view of jobs: those that wait or run, and those that this tab has submitted; one of them with its output as it comes.

import { ask, cancel, jobEvents, remove } from "./api.js";
import { at, count, fill, h } from "./dom.js";
import { Execution } from "./result.js";

const MINE = "unsandbox.jobs";
const MINE_MAX = 50;
const LIST_MAX = 200;
const PAUSE_MS = 2000;
const IS_OPEN = new Set(["pending", "running"]);

/** What this tab has submitted, the newest first: `{ job_id, status, language, created_at }`. */
let mine = JSON.parse(sessionStorage.getItem(MINE) ?? "[]");
let open = [];
let chosen = "";
let following = null;
let timer = 0;
let turns = 0;

/** Builds the view. */
export function setUp() {
  at("jobs-refresh").addEventListener("click", () => refresh());
  showNone();
  show();
}

function showNone() {
  fill(at("job-pane"), h("p", { className: "hint" }, "Choose a job to see its output."));
}

/** Keeps the list fresh while it is looked at, until the server refuses it: each refusal would ask for the key again. */
export async function watch(isVisible) {
  clearTimeout(timer);
  const turn = (turns += 1);
  const goesOn = isVisible && (await refresh());
  // Another call may have come meanwhile, and then has a timer of its own.
  if (goesOn && turn === turns) timer = setTimeout(() => watch(!at("view-jobs").hidden), PAUSE_MS);
}

/** The list has its times as text. */
const withTime = ({ submitted_at: text, ...job }) => ({ ...job, created_at: Date.parse(text) / 1000 || undefined });

/** Takes a job that was submitted here, and shows it. */
export function add(job) {
  mine = [{ created_at: Date.now() / 1000, ...job }, ...mine].slice(0, MINE_MAX);
  keep();
  location.hash = "#jobs";
  show();
  choose(job.job_id);
}

function keep() {
  const row = ({ job_id, status, language, created_at }) => ({ job_id, status, language, created_at });
  sessionStorage.setItem(MINE, JSON.stringify(mine.map(row)));
}

/** Reads the list of the server, and how those of this tab ended that it has no more. False if the key is refused. */
export async function refresh() {
  try {
    open = (await ask(`jobs?limit=${LIST_MAX}`)).jobs.map(withTime);
  } catch (error) {
    fill(at("jobs-list"), h("p", { className: "note bad" }, error.message));
    return error.status !== 401;
  }
  const listed = new Map(open.map((job) => [job.job_id, job]));
  const fresh = await Promise.all(mine.map(async (job) => listed.get(job.job_id) ?? (IS_OPEN.has(job.status) ? end(job) : job)));
  // Meanwhile some may have been submitted or deleted.
  const known = new Map(fresh.map((job) => [job.job_id, job]));
  mine = mine.map((job) => known.get(job.job_id) ?? job);
  keep();
  show();
  return true;
}

async function end(job) {
  try {
    const { job_id, status, language, created_at } = await ask(`jobs/${encodeURIComponent(job.job_id)}`);
    return { job_id, status, language, created_at };
  } catch (error) {
    return error.status === 404 ? { ...job, status: "gone" } : job;
  }
}

function show() {
  const known = new Set(mine.map((job) => job.job_id));
  const all = [...mine, ...open.filter((job) => !known.has(job.job_id))];
  all.sort((a, b) => (b.created_at ?? 0) - (a.created_at ?? 0));
  count(at("jobs-count"), all.filter((job) => IS_OPEN.has(job.status)).length, "open");
  if (!all.length) {
    fill(at("jobs-list"), h("p", { className: "empty" }, "No jobs. “Run as job” in the view Run submits one."));
    return;
  }
  const list = at("jobs-list");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.job : null;
  const head = h("tr", {}, ["Job", "Language", "Submitted", "State"].map((name) => h("th", { scope: "col" }, name)));
  fill(list, h("table", {}, h("caption", { className: "hidden" }, "Jobs"), h("thead", {}, head), h("tbody", {}, all.map(row))));
  if (focused) list.querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
}

function row(job) {
  const { job_id: id, status } = job;
  const kind = IS_OPEN.has(status) ? "busy" : status === "completed" ? "good" : "bad";
  const when = job.created_at ? new Date(job.created_at * 1000).toLocaleTimeString() : "";
  const isChosen = id === chosen;
  const button = h("button", { type: "button", className: "link", title: id, "data-job": id, onclick: () => choose(id), "aria-current": isChosen && "true" },
    id.replace(/^job_/, "").slice(0, 8));
  return h("tr", { className: isChosen ? "chosen" : "" }, h("td", {}, button), h("td", {}, job.language ?? ""), h("td", {}, when),
    h("td", {}, h("span", { className: `badge ${kind}` }, status)));
}

/** Shows a job and follows it to its end. */
async function choose(id) {
  following?.abort();
  const controller = (following = new AbortController());
  chosen = id;
  show();
  const box = h("div", { className: "stack" });
  const button = h("button", { type: "button", className: "danger", disabled: true }, "Cancel");
  const deletion = h("button", { type: "button", className: "danger", disabled: true, title: "Its result and its artifacts too" }, "Delete");
  fill(at("job-pane"), h("div", { className: "tools" }, h("h3", { className: "name" }, id), h("span", { className: "grow" }), deletion, button), box);
  const shown = new Execution(box, "No output yet.");
  button.addEventListener("click", async () => {
    button.disabled = true;
    shown.say("stopping", "");
    await cancel(id).catch((error) => shown.fail(error.message));
  });
  deletion.addEventListener("click", () => erase(id).catch((error) => shown.fail(error.message)));
  try {
    for await (const event of jobEvents(id, controller.signal)) {
      button.disabled = shown.take(event);
    }
    deletion.disabled = false;
  } catch (error) {
    if (!controller.signal.aborted) shown.fail(error.message);
  }
  button.disabled = true;
  if (!controller.signal.aborted) refresh();
}

/** Deletes a job at the server and from the list. */
async function erase(id) {
  await remove(id);
  [mine, open] = [mine, open].map((jobs) => jobs.filter((job) => job.job_id !== id));
  keep();
  if (chosen === id) {
    chosen = "";
    showNone();
  }
  show();
  at("jobs-refresh").focus();
}

/** Forgets what belongs to another key. */
export function forget() {
  following?.abort();
  mine = [];
  open = [];
  chosen = "";
  keep();
  showNone();
  show();
}
