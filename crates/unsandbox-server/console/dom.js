// SPDX-License-Identifier: MIT OR Apache-2.0
// Elements without a framework. Text is always a text node, so that nothing which a program or a server says becomes markup.

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** Makes an element. Functions and properties of the element are set as such, everything else as an attribute. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function" || name === "className" || name === "value") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replaces what an element holds. */
export const fill = (element, ...children) => element.replaceChildren(...children.flat().filter(Boolean));

/** Shows a number in a badge, or hides the badge at 0. */
export function count(badge, number, what) {
  badge.hidden = !number;
  fill(badge, String(number), h("span", { className: "hidden" }, ` ${what}`));
}

/** A number of bytes as people read it. */
export function bytes(number) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let value = number;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** Milliseconds as people read them. */
export const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);

/** The bytes of a base64 text. */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** A file's bytes as base64. */
export async function toBase64(file) {
  const read = new Uint8Array(await file.arrayBuffer());
  let text = "";
  // A call takes no more arguments than this.
  for (let start = 0; start < read.length; start += 32768) text += String.fromCharCode(...read.subarray(start, start + 32768));
  return btoa(text);
}

/** Has the browser save bytes. Their type is never one that a tab would show as a page of this origin. */
export function save(name, content) {
  const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  h("a", { href: url, download: name.split("/").pop() }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
