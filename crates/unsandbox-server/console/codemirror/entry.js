// SPDX-License-Identifier: MIT OR Apache-2.0
// What scripts/console-editor bundles into codemirror.js: the editor and the syntax of the languages that people write most.
// Others are edited as plain text. Stream parsers take a tenth of the bytes that CodeMirror's grammars take.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { c, clike, cpp, csharp, dart, java, kotlin, objectiveC, scala } from "@codemirror/legacy-modes/mode/clike";
import { coffeeScript } from "@codemirror/legacy-modes/mode/coffeescript";
import { commonLisp } from "@codemirror/legacy-modes/mode/commonlisp";
import { d } from "@codemirror/legacy-modes/mode/d";
import { fortran } from "@codemirror/legacy-modes/mode/fortran";
import { go } from "@codemirror/legacy-modes/mode/go";
import { groovy } from "@codemirror/legacy-modes/mode/groovy";
import { haskell } from "@codemirror/legacy-modes/mode/haskell";
import { javascript, typescript } from "@codemirror/legacy-modes/mode/javascript";
import { julia } from "@codemirror/legacy-modes/mode/julia";
import { lua } from "@codemirror/legacy-modes/mode/lua";
import { fSharp, oCaml, sml } from "@codemirror/legacy-modes/mode/mllike";
import { octave } from "@codemirror/legacy-modes/mode/octave";
import { pascal } from "@codemirror/legacy-modes/mode/pascal";
import { perl } from "@codemirror/legacy-modes/mode/perl";
import { powerShell } from "@codemirror/legacy-modes/mode/powershell";
import { python } from "@codemirror/legacy-modes/mode/python";
import { r } from "@codemirror/legacy-modes/mode/r";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { scheme } from "@codemirror/legacy-modes/mode/scheme";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { swift } from "@codemirror/legacy-modes/mode/swift";
import { tcl } from "@codemirror/legacy-modes/mode/tcl";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const set = (text) => Object.fromEntries(text.split(" ").map((word) => [word, true]));

/** There is no stream parser of PHP: what it shares with C, and its variables. */
const php = clike({
  name: "php",
  keywords: set(
    "abstract and as break case catch class clone const continue declare default do echo else elseif enddeclare endfor endforeach " +
      "endif endswitch endwhile enum exit extends final finally fn for foreach function global goto if implements include " +
      "include_once instanceof insteadof interface isset list match namespace new or print private protected public readonly require " +
      "require_once return static switch throw trait try unset use var while xor yield",
  ),
  blockKeywords: set("catch class do else elseif finally for foreach function if switch try while"),
  atoms: set("true false null TRUE FALSE NULL __CLASS__ __DIR__ __FILE__ __FUNCTION__ __LINE__ __METHOD__ __NAMESPACE__"),
  multiLineStrings: true,
  hooks: {
    $(stream) {
      stream.eatWhile(/[\w$]/);
      return "variableName.special";
    },
    "#"(stream) {
      stream.skipToEnd();
      return "comment";
    },
    "<"(stream) {
      return stream.match(/^\?(php|=)?/) ? "meta" : false;
    },
    "?"(stream) {
      return stream.eat(">") ? "meta" : false;
    },
  },
});

/** The syntax of a language, by the name that the server has for it. */
const modes = {
  bash: shell, c, coffeescript: coffeeScript, commonlisp: commonLisp, cpp, csharp, d, dart, deno: typescript,
  dotnet: csharp, fish: shell, fortran, fsharp: fSharp, go, groovy, haskell, java, javascript, julia, kotlin, lua,
  objc: objectiveC, ocaml: oCaml, octave, pascal, perl, php, powershell: powerShell, python, r, racket: scheme, ruby, rust, scala,
  scheme, sml, swift, tcl, typescript, zsh: shell,
};

/** The syntax of a language as an extension of the editor, or none. */
export const syntax = (language) => (modes[language] ? StreamLanguage.define(modes[language]) : []);

/** What the editor has in every language. */
export const setup = [
  lineNumbers(), highlightActiveLineGutter(), highlightSpecialChars(), history(), drawSelection(), indentOnInput(), bracketMatching(),
  closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), search({ top: true }),
  keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap]),
];

export { Compartment, EditorState, EditorView, HighlightStyle, indentUnit, keymap, syntaxHighlighting, tags };
