// SPDX-License-Identifier: MIT OR Apache-2.0
// The view of the server: its health and the checks behind it, usage, limits, and languages with what to install for the others.

import { ask } from "./api.js";
import { at, bytes, duration, fill, h } from "./dom.js";

const badge = (isGood, word) => h("span", { className: `badge ${isGood ? "good" : "bad"}` }, word);

const table = (caption, heads, rows) =>
  h("div", { className: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {}, h("caption", { className: "hidden" }, caption), h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));

const number = (value) => value?.toLocaleString("en") ?? "";

const card = (title, ...content) => h("section", { className: "card wide" }, h("h3", {}, title), content);

/** Shows in the bar whether the server takes work. */
export async function health() {
  try {
    const { status } = await ask("health", { also: [503] });
    fill(at("health"), h("span", { className: `dot ${status === "ok" ? "good" : "bad"}` }), status === "ok" ? "healthy" : status);
  } catch {
    fill(at("health"), h("span", { className: "dot bad" }), "not reachable");
  }
}

async function ready() {
  const { status, checks = [] } = await ask("readyz", { also: [503] });
  const rows = checks.map(({ name, ok, detail }) => [name, badge(ok, ok ? "ok" : "not ok"), detail ?? ""]);
  const head = h("p", {}, badge(status === "ready", status.replace("_", " ")));
  return card("Health", head, rows.length ? table("Checks", ["Check", "State", "Detail"], rows) : null);
}

async function limits() {
  const [key, document] = await Promise.all([ask("keys/validate", { method: "POST" }), ask("openapi.json")]);
  const { Limits: all, ExecuteRequest: request } = document.components.schemas;
  const described = Object.entries({ ttl: request.properties.ttl, ...all.properties });
  const rows = described.map(([name, it]) => [h("code", {}, name), number(it.default), number(it.maximum), it.description]);
  const words = `${number(key.concurrency)} programs run at once; ${number(key.burst)} are accepted with those that wait.`;
  return card("Limits", h("p", {}, words), table("Limits of a request", ["Limit", "Default", "Most", "Of what"], rows));
}

async function usage() {
  const { limits: most, runs, ...now } = await ask("usage");
  const rows = [
    ["Programs that run", number(now.running), number(most.concurrency)],
    ["Submissions that wait", number(now.waiting), number(most.queue)],
    ["Requests left at once", number(now.requests_remaining), most.burst === null ? "no limit" : number(most.burst)],
    ["Finished jobs that are kept", `${number(now.kept_jobs)} (${bytes(now.kept_bytes)})`, ""],
  ];
  const ended = Object.entries(runs).map(([status, count]) => `${number(count)} ${status}`).join(", ");
  const since = new Date(now.since * 1000).toLocaleString();
  const words = `Since ${since}: ${ended || "no runs"}; ${duration(now.cpu_time_ms)} of processor time.`;
  return card("Usage", h("p", {}, words), table("Usage of this key", ["What", "Now", "Most"], rows));
}

async function languages() {
  const { details } = await ask("languages");
  const usable = details.filter(({ available }) => available !== false);
  const rows = usable.map(({ name, aliases, version }) => [h("code", {}, name), (aliases ?? []).join(", "), version ?? ""]);
  const missing = details.filter(({ available }) => available === false).map(({ name, install }) => [h("code", {}, name), install ?? ""]);
  return card(
    "Languages",
    h("p", {}, `${usable.length} run here.`),
    table("Languages that run", ["Language", "Also called", "Version"], rows),
    missing.length ? h("details", {}, h("summary", {}, `${missing.length} others`), table("Other languages", ["Language", "What to install"], missing)) : null,
  );
}

/** Asks for everything and shows it; what fails says so in its place. */
export async function refresh() {
  const failed = (title) => (error) => card(title, h("p", { className: "note bad" }, error.message));
  const parts = [ready().catch(failed("Health")), usage().catch(failed("Usage")), limits().catch(failed("Limits")), languages().catch(failed("Languages"))];
  fill(at("server"), await Promise.all(parts));
}
