// SPDX-License-Identifier: MIT OR Apache-2.0
// The options of a request and its input files, as fields of a form.

import { at, bytes, count, fill, h, toBase64 } from "./dom.js";

const lines = (text) => text.split("\n").filter((line) => line !== "");

/** An object of lines NAME=VALUE. */
function pairs(text, what) {
  const found = {};
  for (const line of lines(text)) {
    const equals = line.indexOf("=");
    if (equals < 1) throw new Error(`${what}: the line ${JSON.stringify(line)} is not NAME=VALUE`);
    found[line.slice(0, equals).trim()] = line.slice(equals + 1);
  }
  return found;
}

function numbers(text) {
  const found = pairs(text, "limits");
  for (const [name, value] of Object.entries(found)) {
    if (!/^\s*\d+\s*$/.test(value)) throw new Error(`limits: ${name} is ${JSON.stringify(value)}; it takes a whole number`);
    found[name] = Number(value);
  }
  return found;
}

const area = (rows = 2) => (id) => h("textarea", { id, rows, spellcheck: "false", autocapitalize: "off" });
const check = (id) => h("input", { id, type: "checkbox" });
const ttl = (id) => h("input", { id, type: "number", min: 1, step: 1, inputmode: "numeric" });
const network = (id) =>
  h("select", { id }, h("option", { value: "" }, "none"), h("option", { value: "semitrusted" }, "public hosts, by the gateway"));

/** Key of the request, label, hint, field, and how its value is read; a value of undefined leaves the option out. */
const OPTIONS = [
  ["stdin", "Standard input", "", area(3), (field) => field.value || undefined],
  ["args", "Arguments", "one a line", area(), (field) => some(lines(field.value))],
  ["env", "Environment", "NAME=VALUE, one a line", area(), (field) => some(pairs(field.value, "environment"))],
  ["outputs", "Files to give back", "patterns, one a line", area(), (field) => some(lines(field.value))],
  ["flags", "Flags of the compiler", "one a line", area(), (field) => some(lines(field.value))],
  ["limits", "Limits", "NAME=NUMBER, as memory_bytes=268435456", area(), (field) => some(numbers(field.value))],
  ["ttl", "Seconds that it may run", "60 unless given", ttl, (field) => (field.value ? Number(field.value) : undefined)],
  ["network_mode", "Network", "", network, (field) => field.value || undefined],
  ["return_artifact", "Give the compiled program back", "", check, (field) => field.checked || undefined],
  ["rerun", "Run a lost job again", "if its server ends while it runs", check, (field) => (field.checked ? "if_lost" : undefined)],
];

const some = (value) => (Object.keys(value).length ? value : undefined);

let files = [];

/** Builds the fields. */
export function setUp() {
  const box = at("options");
  for (const [name, label, hint, make] of OPTIONS) {
    const id = `option-${name}`;
    const field = make(id);
    const words = h("label", { for: id }, label, hint && h("span", { className: "hint" }, ` ${hint}`));
    const isCheck = field.type === "checkbox";
    box.append(h("div", { className: isCheck ? "field check" : "field" }, isCheck ? [field, words] : [words, field]));
  }
  box.addEventListener("input", showCount);
  at("files").addEventListener("change", (event) => {
    const added = [...event.target.files];
    files = [...files.filter((old) => !added.some((file) => file.name === old.name)), ...added];
    event.target.value = "";
    showFiles();
  });
}

function showCount() {
  let set = 0;
  for (const [name, , , , read] of OPTIONS) {
    try {
      set += read(at(`option-${name}`)) !== undefined ? 1 : 0;
    } catch {
      set += 1;
    }
  }
  count(at("options-count"), set, "set");
}

function showFiles() {
  const rows = files.map((file) => {
    const remove = () => {
      files = files.filter((other) => other !== file);
      showFiles();
      at("files").focus();
    };
    const button = h("button", { type: "button", className: "quiet", onclick: remove, "aria-label": `Remove ${file.name}` }, "Remove");
    return h("li", { className: "row" }, h("span", { className: "name" }, file.name), h("span", { className: "hint" }, bytes(file.size)), button);
  });
  fill(at("files-list"), rows);
  count(at("files-count"), files.length, files.length === 1 ? "file" : "files");
}

/** Has the next run give these files back. */
export function addOutputs(names) {
  const field = at("option-outputs");
  field.value = [...new Set([...lines(field.value), ...names])].join("\n");
  showCount();
}

/** The options of the request. Throws where a field cannot be read. */
export async function read() {
  const request = {};
  for (const [name, , , , value] of OPTIONS) request[name] = value(at(`option-${name}`));
  if (files.length) request.files = await Promise.all(files.map(async (file) => ({ path: file.name, content: await toBase64(file) })));
  return request;
}
