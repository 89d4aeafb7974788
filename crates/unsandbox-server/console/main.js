// SPDX-License-Identifier: MIT OR Apache-2.0
// The frame of the console: views by the address, and the key of this tab.

import { ask, key, keyRefused, setKey } from "./api.js";
import { at } from "./dom.js";
import * as jobs from "./jobs.js";
import * as run from "./run.js";
import * as server from "./server.js";

const VIEWS = { run: "Run", jobs: "Jobs", server: "Server" };
const HEALTH_MS = 30000;

/** Shows the view that the address names. */
function route() {
  const asked = location.hash.slice(1);
  const name = Object.hasOwn(VIEWS, asked) ? asked : "run";
  for (const view of Object.keys(VIEWS)) {
    at(`view-${view}`).hidden = view !== name;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[name]} · unsandbox`;
  jobs.watch(name === "jobs");
  if (name === "server") server.refresh();
}

/** Opens the dialog of the key, with a reason if there is one. */
function openKey(reason = "") {
  at("key-error").textContent = reason;
  at("key-forget").hidden = !key();
  // A refusal may come while somebody types.
  if (at("key-dialog").open) return;
  at("key").value = "";
  at("key-dialog").showModal();
}

/** Asks whether the server takes the key, or needs none. */
async function checkKey() {
  try {
    await ask("keys/validate", { method: "POST" });
    at("key-open").hidden = !key();
    return true;
  } catch (error) {
    if (error.status !== 401) at("key-error").textContent = error.message;
    return false;
  }
}

async function useKey(event) {
  event.preventDefault();
  const value = at("key").value.trim();
  if (!value) {
    at("key-error").textContent = "Type the key.";
    return;
  }
  // Other characters cannot be sent in a header.
  if (!/^[\x21-\x7e]+$/.test(value)) {
    at("key-error").textContent = "A key has letters, digits and signs of ASCII only; check what was typed.";
    return;
  }
  if (value !== key()) forget();
  setKey(value);
  if (await checkKey()) {
    at("key-dialog").close();
    route();
  }
}

/** Forgets what belongs to the key of before. */
function forget() {
  jobs.forget();
  run.forget();
}

function forgetKey() {
  setKey("");
  forget();
  openKey();
}

function setUp() {
  run.setUp(jobs.add);
  jobs.setUp();
  window.addEventListener("hashchange", route);
  // The link is for the keyboard; the address of a view stays.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("main").focus();
  });
  at("key-open").addEventListener("click", () => openKey());
  at("key-form").addEventListener("submit", useKey);
  at("key-forget").addEventListener("click", forgetKey);
  at("key-close").addEventListener("click", () => at("key-dialog").close());
  keyRefused.addEventListener("refused", () => {
    at("key-open").hidden = false;
    openKey(key() ? "The server does not know this key. Check it, and type it again." : "");
  });
  route();
  server.health();
  setInterval(server.health, HEALTH_MS);
  run.refresh().catch(() => {});
  checkKey();
}

setUp();
