// SPDX-License-Identifier: MIT OR Apache-2.0
//! JavaScript: whether a text is a module or of the older kind, which node has to be told by the file's name.

use super::Draft;
use super::scan::{
    Kind, LIKE_C, NEAR, Quote, Syntax, Token, close, expressions, is_arrow, opening, scan,
};
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
/// What a module of ES does not have, and programs use all the same.
const COMMON_WORDS: [(&str, &str); 3] = [
    ("require", "const require = $create(import.meta.url);"),
    ("__filename", "const __filename = $path(import.meta.url);"),
    ("__dirname", "const __dirname = $path(new URL(\".\", import.meta.url)).slice(0, -1);"),
];

pub(super) fn javascript<'a>(draft: Draft<'a>, files: &[(String, Vec<u8>)]) -> Draft<'a> {
    let (is_module, prefix) = {
        let tokens = scan(&draft.text, &JAVASCRIPT);
        let is_module = is_module(&tokens) || awaits(&tokens) && !is_common(&tokens);
        (is_module, if is_module { common_words(&tokens) } else { String::new() })
    };
    let scripts = files.iter().filter(|(name, _)| name.ends_with(".js"));
    let kinds: Vec<(bool, bool)> = scripts.map(|(_, content)| kinds(content)).collect();
    // Where both kinds are called `.js`, it is left to node.
    let has_modules = kinds.iter().any(|(is_module, _)| *is_module)
        && !kinds.iter().any(|(is_module, is_common)| *is_common && !is_module);
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

/// Whether a file is a module, and whether it is one of the older kind.
fn kinds(content: &[u8]) -> (bool, bool) {
    let Ok(text) = std::str::from_utf8(content) else { return (false, false) };
    let tokens = scan(text, &JAVASCRIPT);
    let requires = tokens.windows(2).any(|two| two[0].is("require") && two[1].is("("));
    (is_module(&tokens), is_common(&tokens) || requires)
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
        close(&mut functions, token, |depth| *depth);
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
    let Some(before) = place.checked_sub(1) else { return false };
    if tokens[before].is(">") {
        return is_arrow(tokens, before);
    }
    if tokens[before].is(")") {
        let word = opening(tokens, before).and_then(|opening| opening.checked_sub(1));
        let word = word.map_or("", |at| tokens[at].text);
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

/// Whether the expression before it, or around it, is an arrow without braces: `async () => f(await x)`.
fn in_arrow(tokens: &[Token<'_>], place: usize) -> bool {
    let mut depth = tokens[place].depth;
    if begins_statement(tokens, place) {
        return false;
    }
    for (at, token) in tokens[..place].iter().enumerate().rev().take(NEAR) {
        let is_end = token.kind == Kind::Sign && matches!(token.text, ";" | "," | "{" | "}");
        if token.depth < depth {
            // Out of a bracket, whose expression goes on before it; not out of a block.
            if token.is("{") && is_block(tokens, at) {
                return false;
            }
            depth = token.depth;
        } else if token.depth == depth {
            if is_arrow(tokens, at) {
                return true;
            }
            if depth == 0 && (is_end || begins_statement(tokens, at)) {
                return false;
            }
            depth -= usize::from(is_end);
        }
    }
    false
}

/// Whether a line begins here that does not go on with an expression.
fn begins_statement(tokens: &[Token<'_>], place: usize) -> bool {
    let Some(before) = place.checked_sub(1).map(|before| &tokens[before]) else { return true };
    let goes_on = before.kind == Kind::Sign && !matches!(before.text, ")" | "]" | "}" | ";");
    let word = tokens[place].kind == Kind::Word;
    tokens[place].begins_line && word && !goes_on
}

/// Whether this `{` begins a block and not an object.
fn is_block(tokens: &[Token<'_>], place: usize) -> bool {
    let before = place.checked_sub(1).map_or(";", |before| tokens[before].text);
    matches!(before, ")" | ";" | "{" | "}" | "else" | "try" | "finally" | "do")
}

/// Whether it gives and takes as modules of the older kind do.
fn is_common(tokens: &[Token<'_>]) -> bool {
    tokens.windows(3).enumerate().any(|(place, three)| {
        let is_free = place == 0 || !tokens[place - 1].is(".");
        let gives = three[0].is("exports") && matches!(three[1].text, "." | "[");
        let module = three[0].is("module") && three[1].is(".") && three[2].is("exports");
        let is_main = three[0].is("require") && three[1].is(".") && three[2].is("main");
        is_free && (gives || module || is_main)
    })
}

/// Definitions, on the program's first line, of the words that it uses and does not declare.
fn common_words(tokens: &[Token<'_>]) -> String {
    let is_declared = |word: &str| (0..tokens.len()).any(|place| declares(tokens, place, word));
    let needed: Vec<&str> = COMMON_WORDS
        .iter()
        .filter(|(word, _)| uses(tokens, word) && !is_declared(word))
        .map(|(_, definition)| *definition)
        .collect();
    if needed.is_empty() {
        return String::new();
    }
    let imports = "import { createRequire as $create } from \"module\"; import { fileURLToPath as $path } from \"url\";";
    format!("{imports} {} ", needed.join(" "))
}

/// Whether this is the word, or a string with the word in one of its expressions.
fn uses(tokens: &[Token<'_>], word: &str) -> bool {
    tokens.iter().enumerate().any(|(place, token)| {
        let is_member = place > 0 && tokens[place - 1].is(".");
        let inside = || {
            let texts = expressions(token.text, "${", &JAVASCRIPT).into_iter();
            texts.into_iter().any(|text| uses(&scan(text, &JAVASCRIPT), word))
        };
        token.is(word) && !is_member || token.text.starts_with('`') && inside()
    })
}

/// Whether the word is declared here, for the whole module: by itself, or among others after a comma or in brackets.
fn declares(tokens: &[Token<'_>], place: usize, word: &str) -> bool {
    const BEGIN: [&str; 4] = ["const", "let", "var", "import"];
    let Some(before) = place.checked_sub(1).filter(|_| tokens[place].is(word)) else {
        return false;
    };
    let depth = tokens[place].depth;
    match tokens[before].text {
        "const" | "let" | "var" | "function" | "class" | "import" => depth == 0,
        // `import { a as require }`, `const { a: require }`
        "as" | ":" | "{" | "," => {
            let own = tokens[..place].iter().rev().take(NEAR);
            let mut own = own.take_while(|token| !token.is(";"));
            let begins = |token: &Token<'_>| token.depth == 0 && BEGIN.contains(&token.text);
            let next = tokens.get(place + 1).map_or("", |next| next.text);
            let is_name = matches!(next, "," | "}" | "=" | ";");
            let is_list = depth == 0
                || (1..place).rev().take(NEAR).find(|at| tokens[*at].depth < depth).is_some_and(
                    |at| {
                        tokens[at].is("{")
                            && tokens[at].depth == 0
                            && (BEGIN.contains(&tokens[at - 1].text) || tokens[at - 1].is(","))
                    },
                );
            is_name && is_list && own.any(begins)
        }
        _ => false,
    }
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
            "const f = x => x\nif (x) { await y }",
            "const f = x => x\nawait f()",
            "const f = async x => x; const o = { data: await f(1) }",
            "try { await y } catch (e) { }",
            "console.log(import.meta.url)",
            "const f = async () => 1; await f()",
            "import d from './d.json' with { type: 'json' }",
            "let re = /export default/; export { re }",
            "const a = b\n/import x/.test(a) || 1; await a",
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
            "const run = async (x) => console.log(await Promise.resolve(x)); run(1);",
            "const f = async () => ({ data: await g() }); f()",
            "Promise.all([1, 2].map(async x => Math.abs(await x)))",
            "await f(); module.exports = { f }",
            "const re = /export default x/; re.test('import y from 1'); 'await z'",
            "console.log(\"import x from 'y'\"); export_x = 1; x.export = 2",
            "const o = { async a() { await b }, c: async function () { for await (const d of e) { } } }",
            "class A { static async b() { if (c) { await d } } #e = async () => { await f } }",
            "function f() { return async (x) => { await x } }",
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
        let both = [module, ("old.js", "module.exports = 1;")];
        assert_eq!(source("import { twice } from './util.js'", &both), ("main.mjs".to_string(), 0));
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
        for code in [
            "import a from 'a'; console.log(1, __dirname)",
            "import a from 'a'; f({ x: 1, y: __dirname }, [2, __dirname])",
            "import a from 'a'; console.log(`x ${`y ${__dirname}`}`)",
            "import a from 'a'; { const __dirname = 1 } f(x, __dirname, 2)",
            "import a from 'a'; const x = { __dirname }, y = 1;",
            "import a from 'a'; const x = f(a, __dirname), y = 1;",
        ] {
            assert!(text(code).contains("const __dirname = $path"), "{code}");
        }
        for code in [
            "import { a as __dirname } from 'a'; f(__dirname)",
            "import x, { b, a as __dirname } from 'a'; f(__dirname)",
            "import a from 'a'; const { x, y: __dirname } = a, z = 1; f(__dirname)",
            "import a from 'a'; let x = 1, __dirname = '.'; f(__dirname)",
            "import a from 'a'; console.log('__dirname', a.__dirname)",
        ] {
            assert!(!text(code).contains("$path"), "{code}");
        }
    }
}
