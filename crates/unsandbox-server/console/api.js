// SPDX-License-Identifier: MIT OR Apache-2.0
// Requests to the server that this page came from, with the key if there is one, and its events.

const KEY = "unsandbox.key";
const BASE = new URL("..", import.meta.url);

/** Tells the page that a request was refused for its key. */
export const keyRefused = new EventTarget();

/** The key of this tab; sessionStorage belongs to one tab and outlives a reload. */
export const key = () => sessionStorage.getItem(KEY) ?? "";

/** Keeps the key in this tab, or forgets it if it is empty. */
export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** A refusal of the server, with the word and the status of its reply. */
export class ApiError extends Error {
  constructor(message, status, word) {
    super(message);
    this.status = status;
    this.word = word;
  }
}

async function send(path, { method = "GET", body, signal, headers = {} } = {}) {
  const all = { Accept: "application/json", "X-Unsandbox-Compat": "0", ...headers };
  if (key()) all.Authorization = `Bearer ${key()}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  const content = body === undefined ? undefined : JSON.stringify(body);
  try {
    return await fetch(new URL(path, BASE), { method, headers: all, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the server cannot be reached; check that it runs, and try again", 0, "unreachable");
  }
}

async function refusal(response) {
  const reply = await response.json().catch(() => ({}));
  const message = reply.message ?? `the server answered with status ${response.status}`;
  if (response.status === 401) keyRefused.dispatchEvent(new Event("refused"));
  return new ApiError(message, response.status, reply.error);
}

/** The JSON of a reply. Statuses in `also` are replies too. */
export async function ask(path, { also = [], ...request } = {}) {
  const response = await send(path, request);
  if (!response.ok && !also.includes(response.status)) throw await refusal(response);
  return response.json();
}

/** Sends a request and yields the events of its reply: `{ event, id, data }`. */
export async function* events(path, request = {}) {
  const headers = { ...request.headers, Accept: "text/event-stream" };
  const response = await send(path, { ...request, headers });
  if (!response.ok) throw await refusal(response);
  yield* parse(response.body);
}

async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      // What was searched before is not searched again: a result may have many megabytes.
      let from = Math.max(rest.length - 1, 0);
      rest += value;
      for (let end; (end = rest.indexOf("\n\n", from)) >= 0; from = 0) {
        const event = parseBlock(rest.slice(0, end));
        rest = rest.slice(end + 2);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** An event; a block of comments, by which the server keeps the connection, is none. */
function parseBlock(block) {
  const found = { event: "message", id: "", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 2);
  }
  return found.data ? { ...found, data: JSON.parse(found.data) } : null;
}

/** The events of a job until its last one, over connections that end before. */
export async function* jobEvents(id, signal) {
  let last = "";
  for (;;) {
    const headers = last ? { "Last-Event-ID": last } : {};
    try {
      for await (const event of events(`jobs/${encodeURIComponent(id)}/events`, { signal, headers })) {
        last = event.id || last;
        yield event;
        if (event.event === "finished" || event.event === "error") return;
      }
    } catch (error) {
      if (error.name === "AbortError" || error instanceof ApiError) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Deletes a job that has ended; one that is gone already is as good. */
export const remove = (id) => ask(`jobs/${encodeURIComponent(id)}/record`, { method: "DELETE", also: [404] });

/** Cancels a job. */
export const cancel = (id) => ask(`jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
