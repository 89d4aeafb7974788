// SPDX-License-Identifier: MIT OR Apache-2.0
// Files that a program made. They are hostile: pictures are shown as pictures, HTML in a frame without the origin of this page,
// and everything else is text or is saved, so that no file acts as the person who looks at it.

import { bytes, fromBase64, h, save } from "./dom.js";

const PICTURES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", svg: "image/svg+xml" };
const TEXTS = new Set(["txt", "csv", "tsv", "json", "md", "log", "xml", "yaml", "yml", "toml"]);
const TEXT_BYTES = 65536;

const ending = (name) => name.slice(name.lastIndexOf(".") + 1).toLowerCase();

/** What is to be seen of a file, or null. */
function preview(name, content, encoded) {
  const kind = ending(name);
  if (Object.hasOwn(PICTURES, kind)) {
    // A data: address has an origin of its own, also where somebody opens the picture in a tab: its scripts then run there.
    return h("img", { src: `data:${PICTURES[kind]};base64,${encoded}`, alt: `Picture ${name}` });
  }
  if (TEXTS.has(kind)) {
    const text = new TextDecoder().decode(content.subarray(0, TEXT_BYTES));
    return h("pre", { tabindex: 0, role: "region", "aria-label": `Text of ${name}` }, content.length > TEXT_BYTES ? `${text}…` : text);
  }
  return null;
}

/** A button that shows HTML, whose scripts run only then. */
function page(name, content) {
  const show = (event) => {
    // No allow-same-origin: its scripts have no cookies, no storage, no key, and by the headers of viewer.html no network, where the browser obeys them.
    const frame = h("iframe", { sandbox: "allow-scripts", src: new URL("viewer.html", import.meta.url).href, title: `Page ${name}`, referrerpolicy: "no-referrer" });
    // Its origin is opaque, which only "*" names; the message is what the program made.
    frame.addEventListener("load", () => frame.contentWindow.postMessage(new TextDecoder().decode(content), "*"), { once: true });
    event.target.replaceWith(frame);
  };
  return h("button", { type: "button", onclick: show, "aria-label": `Show ${name}` }, "Show the page");
}

function artifact({ filename, content_base64: encoded, url }) {
  if (encoded === undefined) return h("li", { className: "card" }, filename, url && h("span", { className: "hint" }, ` at ${url}`));
  const content = fromBase64(encoded);
  const isPage = ["html", "htm"].includes(ending(filename));
  return h(
    "li",
    { className: "card" },
    h("div", { className: "row" }, h("span", { className: "name" }, filename), h("span", { className: "hint" }, bytes(content.length)),
      isPage && page(filename, content),
      h("button", { type: "button", onclick: () => save(filename, content), "aria-label": `Save ${filename}` }, "Save")),
    preview(filename, content, encoded),
  );
}

/** The list of artifacts, or null. */
export function artifacts(list) {
  return list?.length ? h("section", {}, h("h3", {}, "Artifacts"), h("ul", { className: "plain" }, list.map(artifact))) : null;
}
