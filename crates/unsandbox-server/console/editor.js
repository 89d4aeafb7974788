// SPDX-License-Identifier: MIT OR Apache-2.0
// The editor of programs. It lives in a shadow root: there CodeMirror adopts style sheets, where it would otherwise insert style
// elements, which the Content-Security-Policy of the page refuses.

import {
  Compartment, EditorState, EditorView, HighlightStyle, indentUnit, keymap, setup, syntax, syntaxHighlighting, tags as t,
} from "./codemirror.js";

const color = (name) => `var(--${name})`;

const theme = EditorView.theme({
  "&": { height: "100%", fontSize: "14px", color: color("text"), backgroundColor: color("field") },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: color("mono"), lineHeight: "1.5" },
  ".cm-content": { caretColor: color("text"), padding: "8px 0" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: color("text") },
  ".cm-gutters": { backgroundColor: color("field"), color: color("muted"), border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: color("line") },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: color("selection") },
  ".cm-selectionMatch": { backgroundColor: color("selection") },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: color("selection"), outline: `1px solid ${color("accent")}` },
  ".cm-panels": { backgroundColor: color("surface"), color: color("text"), borderColor: color("border") },
  ".cm-textfield, .cm-button": { backgroundColor: color("field"), backgroundImage: "none", color: color("text"), border: `1px solid ${color("border")}` },
});

const colors = HighlightStyle.define([
  { tag: [t.keyword, t.modifier, t.operatorKeyword], color: color("syntax-keyword") },
  { tag: [t.string, t.special(t.string), t.regexp, t.character], color: color("syntax-string") },
  { tag: [t.comment, t.meta], color: color("muted"), fontStyle: "italic" },
  { tag: [t.number, t.bool, t.atom, t.null], color: color("syntax-number") },
  { tag: [t.typeName, t.className, t.namespace], color: color("syntax-type") },
  { tag: [t.definition(t.variableName), t.function(t.variableName), t.standard(t.variableName)], color: color("syntax-name") },
]);

/**
 * Takes a character that replaces a selection. Chromium would write it in the style of what it replaces, as a style attribute,
 * which the policy of the page refuses and reports.
 */
function replaceSelection(event, view) {
  const { from, to, empty } = view.state.selection.main;
  if (event.inputType !== "insertText" || !event.data || empty || view.composing) return false;
  const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  const isTaken = view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, event.data, insert));
  if (!isTaken) view.dispatch(insert());
  event.preventDefault();
  return true;
}

/** Puts an editor into an element. */
export function editor(parent, { text, onChange, onRun }) {
  const root = parent.attachShadow({ mode: "open" });
  const language = new Compartment();
  const indent = new Compartment();
  const state = EditorState.create({
    doc: text,
    extensions: [
      keymap.of([{ key: "Mod-Enter", run: () => (onRun(), true) }]),
      setup, theme, syntaxHighlighting(colors), language.of([]), indent.of(indentUnit.of("    ")), EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "Program", tabindex: "0" }),
      EditorView.domEventHandlers({ beforeinput: replaceSelection }),
      EditorView.updateListener.of((update) => update.docChanged && onChange()),
    ],
  });
  const view = new EditorView({ state, parent: root, root });
  return {
    text: () => view.state.doc.toString(),
    replace: (insert) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } }),
    focus: () => view.focus(),
    setLanguage(name) {
      const unit = name === "go" ? "\t" : "    ";
      view.dispatch({ effects: [language.reconfigure(syntax(name)), indent.reconfigure(indentUnit.of(unit))] });
    },
  };
}
