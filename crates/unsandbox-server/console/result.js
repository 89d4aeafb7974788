// SPDX-License-Identifier: MIT OR Apache-2.0
// What is shown of one execution: its state, the output as it comes, how it ended, and its artifacts.

import { artifacts } from "./artifacts.js";
import { bytes, duration, fill, fromBase64, h, save } from "./dom.js";

/** Characters of output that are shown: a page with more becomes slow. All of it can be saved. */
const SHOWN = 1_000_000;

/** Builds the parts in an element; `idle` says what stands there before the first event, `onWanted` takes names of files. */
export class Execution {
  constructor(parent, idle, onWanted) {
    this.idle = idle;
    this.onWanted = onWanted;
    this.status = h("p", { className: "status", role: "status" });
    this.output = h("pre", { className: "output", tabindex: 0, role: "region", "aria-label": "Output" });
    this.rest = h("div", { className: "stack" });
    fill(parent, this.status, this.output, this.rest);
    this.clear();
  }

  clear(state = "") {
    this.jobId = "";
    this.ended = false;
    this.shown = 0;
    this.decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    this.pending = [];
    fill(this.output, state ? "" : h("span", { className: "hint" }, this.idle));
    fill(this.rest);
    this.say(state, "");
  }

  /** Shows a state: one of the words of the protocol as a badge, and what there is to say of it. */
  say(state, text, isGood = state === "completed") {
    const kind = isGood ? "good" : ["pending", "running", "starting", "stopping"].includes(state) ? "busy" : "bad";
    fill(this.status, state && h("span", { className: `badge ${kind}` }, state), text && h("span", {}, ` ${text}`));
  }

  /** Takes an event of the server. True if it was the last one. */
  take({ event, data }) {
    if (event === "queued" || event === "started") {
      this.jobId = data.job_id ?? this.jobId;
      this.say(event === "started" ? "running" : "pending", data.language ?? "");
    } else if (event === "stdout" || event === "stderr") {
      // One that is not UTF-8 comes as bytes; a decoder for each stream keeps what a piece has cut.
      const text = data.text ?? this.decoders[event].decode(fromBase64(data.base64), { stream: true });
      this.print(text, event);
    } else if (event === "gap") {
      this.print(`\n… ${data.bytes} bytes of ${data.stream} are not kept by the server …\n`, "note");
    } else if (event === "finished") {
      this.finish(data);
    } else if (event === "error") {
      this.fail(data.message);
    }
    return event === "finished" || event === "error";
  }

  /** Prints at the next frame, so that a flood of small pieces is one change of the page. */
  print(text, kind) {
    const last = this.pending.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.pending.push({ text, kind });
    if (this.pending.length === 1 && last === undefined) requestAnimationFrame(() => this.flush());
  }

  flush() {
    if (this.pending.length && !this.shown) fill(this.output);
    const isAtEnd = this.output.scrollHeight - this.output.scrollTop - this.output.clientHeight < 40;
    for (const { text, kind } of this.pending) {
      const left = SHOWN - this.shown;
      this.shown += text.length;
      if (left > 0) this.output.append(h("span", { className: kind }, text.slice(0, left)));
      if (left > 0 && text.length > left) {
        this.output.append(h("span", { className: "note" }, "\n… the rest is not shown; save it at the end …\n"));
      }
    }
    this.pending = [];
    if (isAtEnd) this.output.scrollTop = this.output.scrollHeight;
  }

  /** Shows a job that has ended. */
  finish(job) {
    this.ended = true;
    this.jobId = job.job_id;
    const result = job.result ?? job;
    this.flush();
    if (!this.shown) fill(this.output, h("span", { className: "hint" }, "The program printed nothing."));
    this.say(job.status, summary(result), result.success);
    const notes = [result.error, ...(job.warnings ?? []), result.truncated && "The output was cut at its limit."];
    fill(
      this.rest,
      notes.filter(Boolean).map((text) => h("p", { className: "note bad" }, text)),
      this.left(result.left_files ?? []),
      this.saving(result),
      artifacts(result.artifacts),
    );
  }

  /** Files that no option has asked for; the next run can give them back. */
  left(names) {
    if (!names.length) return null;
    const words = h("span", { className: "name" }, `Also in the working directory: ${names.join(", ")}`);
    const wanted = (event) => {
      this.onWanted(names);
      event.target.replaceWith(h("span", { className: "hint", role: "status" }, "The next run gives them back."));
    };
    return h("div", { className: "note row" }, words, this.onWanted && h("button", { type: "button", onclick: wanted }, "Give back next time"));
  }

  saving(result) {
    const buttons = ["stdout", "stderr"].map((stream) => {
      const exact = result[`${stream}_base64`];
      const content = exact ? fromBase64(exact) : result[stream];
      return content?.length ? h("button", { type: "button", onclick: () => save(`${stream}.txt`, content) }, `Save ${stream}`) : null;
    });
    return buttons.some(Boolean) ? h("div", { className: "row" }, buttons) : null;
  }

  /** Shows why there is no result. */
  fail(message) {
    this.ended = true;
    this.flush();
    if (!this.shown) fill(this.output);
    this.say("failed", "");
    fill(this.rest, h("p", { className: "note bad", role: "alert" }, message));
  }
}

/** How a program ended, in a line. */
function summary(result) {
  const { exit_code: code, signal, limit, usage, isolation, total_time_ms: total } = result;
  const words = [
    result.language,
    Number.isInteger(code) && `exit code ${code}`,
    signal && `signal ${signal}`,
    limit && `limit ${limit}`,
    duration(usage?.wall_time_ms ?? total ?? 0),
    usage && bytes(usage.peak_memory_bytes),
    isolation && `isolation ${isolation.level}`,
  ];
  return words.filter(Boolean).join(" · ");
}
