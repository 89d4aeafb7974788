// SPDX-License-Identifier: MIT OR Apache-2.0
//! JavaScript: whether a text is a module or of the older kind, which node has to be told by the file's name.

use super::Draft;
use super::scan::{Kind, LIKE_C, NEAR, Quote, Syntax, Token, close, expressions, scan};
use std::borrow::Cow;

const JAVASCRIPT: Syntax = Syntax {
    strings: &[Quote::line("\""), Quote::line("'"), Quote { inserts: "${", ..Quote::block("`") }],
    characters: false,
    word: "$#",
    regex: true,
    ..LIKE_C
};

/// A file of ours above the work directory; node asks there for the kind of files called `.js`.
const MODULES: (&str, &str) = ("package.json", "{\"type\":\"module\"}\n");
/// The longest list of parameters, in tokens.
const FAR: usize = 2_000;
/// What a module of ES does not have, and programs use all the same.
const COMMON_WORDS: [(&str, &str); 3] = [
    ("require", "const require = $create(import.meta.url);"),
    ("__filename", "const __filename = $path(import.meta.url);"),
    ("__dirname", "const __dirname = $path(new URL(\".\", import.meta.url)).slice(0, -1);"),
];

pub(super) fn javascript<'a>(draft: Draft<'a>, files: &[(String, Vec<u8>)]) -> Draft<'a> {
    let (is_module, prefix) = {
        let tokens = scan(&draft.text, &JAVASCRIPT);
        let is_module = is_module(&tokens) || awaits(&tokens);
        (is_module, if is_module { common_words(&tokens) } else { String::new() })
    };
    let text = |content: &[u8]| std::str::from_utf8(content).ok().map(str::to_string);
    let mut scripts = files.iter().filter(|(name, _)| name.ends_with(".js"));
    let has_modules =
        scripts.any(|(_, content)| text(content).is_some_and(|text| is_module_text(&text)));
    let own_settings = files.iter().find(|(name, _)| name == "package.json");
    let says_module = own_settings.map(|(_, content)| {
        String::from_utf8_lossy(content).replace(' ', "").contains("\"type\":\"module\"")
    });
    let all_modules = says_module.unwrap_or(has_modules);
    let source = match (is_module, all_modules) {
        (true, _) => "main.mjs",
        (false, true) => "main.cjs",
        (false, false) => "main.js",
    };
    let beside = if own_settings.is_none() && has_modules { vec![MODULES] } else { Vec::new() };
    let text = if prefix.is_empty() { draft.text } else { Cow::Owned(prefix + &draft.text) };
    Draft { source: source.to_string(), text, beside, ..draft }
}

fn is_module_text(text: &str) -> bool {
    is_module(&scan(text, &JAVASCRIPT))
}

/// Whether it imports, exports or asks for `import.meta` as modules alone do.
fn is_module(tokens: &[Token<'_>]) -> bool {
    tokens.iter().enumerate().any(|(place, token)| {
        let before = place.checked_sub(1).map_or("", |before| tokens[before].text);
        if before == "." {
            return false;
        }
        let Some(next) = tokens.get(place + 1) else { return false };
        let after = tokens.get(place + 2).map_or("", |after| after.text);
        match token.word() {
            Some("import") if next.is(".") => after == "meta",
            Some("import") => {
                let names = next.kind != Kind::Sign || matches!(next.text, "{" | "*");
                token.depth == 0 && names && next.text != "in" && !next.is("=")
            }
            Some("export") => {
                token.depth == 0 && (next.kind == Kind::Word || matches!(next.text, "{" | "*"))
            }
            _ => false,
        }
    })
}

/// Whether it waits outside every function.
fn awaits(tokens: &[Token<'_>]) -> bool {
    let mut functions: Vec<usize> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        close(&mut functions, token);
        if token.is("{") && begins_function(tokens, place) {
            functions.push(token.depth);
        }
        let before = place.checked_sub(1).map_or("", |before| tokens[before].text);
        let next = tokens.get(place + 1).map_or("", |next| next.text);
        let is_await = token.is("await")
            && before != "."
            && !matches!(next, ":" | "=" | ")" | "," | ";" | ".");
        let inside = || {
            let texts = expressions(token.text, "${", &JAVASCRIPT).into_iter();
            token.text.starts_with('`')
                && texts.into_iter().any(|text| awaits(&scan(text, &JAVASCRIPT)))
        };
        if functions.is_empty() && (is_await || inside()) && !in_arrow(tokens, place) {
            return true;
        }
    }
    false
}

/// Whether this `{` begins the body of a function or a class.
fn begins_function(tokens: &[Token<'_>], place: usize) -> bool {
    let Some(before) = place.checked_sub(1).map(|before| &tokens[before]) else { return false };
    if before.is(">") {
        return place > 1 && tokens[place - 2].is("=");
    }
    if before.is(")") {
        let near = &tokens[place.saturating_sub(FAR)..place - 1];
        let opening = near.iter().rposition(|token| token.is("(") && token.depth == before.depth);
        let opening = opening.map(|at| place - 1 - near.len() + at);
        let word =
            opening.and_then(|opening| opening.checked_sub(1)).map_or("", |at| tokens[at].text);
        return !matches!(word, "if" | "for" | "while" | "switch" | "catch" | "with" | "await");
    }
    // `class A {` and `class A extends B {`
    let head = tokens[..place]
        .iter()
        .rev()
        .take(6)
        .take_while(|token| !matches!(token.text, ";" | "{" | "}"));
    head.into_iter().any(|token| token.is("class"))
}

/// Whether the expression before it is an arrow without braces: `async () => await x`.
fn in_arrow(tokens: &[Token<'_>], place: usize) -> bool {
    let depth = tokens[place].depth;
    let before = tokens[..place].iter().enumerate().rev().take(NEAR);
    let mut own = before.take_while(|(_, token)| {
        token.depth >= depth
            && !(token.depth == depth && matches!(token.text, ";" | "," | "{" | "}"))
    });
    own.any(|(at, token)| token.depth == depth && token.is(">") && at > 0 && tokens[at - 1].is("="))
}

/// Definitions, on the program's first line, of the words that it uses and does not declare.
fn common_words(tokens: &[Token<'_>]) -> String {
    let is_declared = |word: &str| {
        tokens.windows(2).any(|two| {
            let declares = matches!(
                two[0].text,
                "const" | "let" | "var" | "function" | "as" | "," | "{" | "import"
            );
            two[1].is(word) && declares && two[0].kind != Kind::Text
        })
    };
    let is_used = |word: &str| {
        tokens
            .iter()
            .enumerate()
            .any(|(place, token)| token.is(word) && !(place > 0 && tokens[place - 1].is(".")))
    };
    let needed: Vec<&str> = COMMON_WORDS
        .iter()
        .filter(|(word, _)| is_used(word) && !is_declared(word))
        .map(|(_, definition)| *definition)
        .collect();
    if needed.is_empty() {
        return String::new();
    }
    let imports = "import { createRequire as $create } from \"module\"; import { fileURLToPath as $path } from \"url\";";
    format!("{imports} {} ", needed.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::Upload;
    use super::super::tests::lay_out;

    fn source(code: &str, files: &[(&str, &str)]) -> (String, usize) {
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect();
        let found = lay_out("javascript", Upload { code, files: &files });
        assert!(found.text.ends_with(code), "{code}");
        (found.source, found.beside.len())
    }

    #[test]
    fn a_module_is_told_by_its_code() {
        for code in [
            "import fs from 'fs';",
            "import { a } from \"./a.mjs\"; a();",
            "import * as a from 'a'",
            "import 'a'",
            "export const x = 1",
            "export default 1",
            "console.log(1); export { x }",
            "const x = await f();",
            "for await (const x of y) { }",
            "if (x) { await y }",
            "try { await y } catch (e) { }",
            "console.log(import.meta.url)",
            "const f = async () => 1; await f()",
            "const r = /[`]/; console.log(`a ${await f(`x`)}`)",
        ] {
            assert_eq!(source(code, &[]).0, "main.mjs", "{code}");
        }
        for code in [
            "/*\n  import { foo } from \"./foo\";\n*/\nconsole.log(__dirname.length > 0);",
            "const s = `\nimport x from 'y'\nawait z\n`; console.log(s)",
            "const m = import('fs'); m.then(console.log)",
            "async function f() { await g(); for (;;) { await h() } } f()",
            "(async () => { await f(); })()",
            "const f = async () => `${await g()}`; console.log(`await ${f} await x`)",
            "const f = async () => await g(); f()",
            "class A { async b() { await c } }",
            "const o = { await: 1, import: 2, export: 3 }; o.import; o.await",
            "const fs = require('fs'); module.exports = { }",
            "x = a / b; // import y from 'z'\n",
        ] {
            assert_eq!(source(code, &[]).0, "main.js", "{code}");
        }
    }

    #[test]
    fn uploaded_modules_called_js_are_modules() {
        let module = ("util.js", "export const twice = x => 2 * x;");
        assert_eq!(
            source("import { twice } from './util.js'", &[module]),
            ("main.mjs".to_string(), 1)
        );
        assert_eq!(source("import('./util.js')", &[module]), ("main.cjs".to_string(), 1));
        let common = ("util.js", "module.exports = 1;");
        assert_eq!(source("require('./util.js')", &[common]), ("main.js".to_string(), 0));
        let settings = ("package.json", "{ \"type\": \"module\" }");
        assert_eq!(
            source("require('./util.cjs')", &[module, settings]),
            ("main.cjs".to_string(), 0)
        );
    }

    #[test]
    fn a_module_has_the_words_of_the_older_kind_where_it_uses_them() {
        let text = |code: &'static str| {
            let upload = Upload { code, files: &[] };
            lay_out("javascript", upload).text.into_owned()
        };
        let both = text("import a from 'a'; const fs = require('fs'); console.log(__dirname)");
        assert!(both.contains("const require") && both.contains("const __dirname"), "{both}");
        assert!(!both.contains("const __filename") && both.lines().count() == 1);
        let declared = "import { createRequire } from 'module'; const require = createRequire(import.meta.url);";
        assert_eq!(text(declared), declared);
    }
}
