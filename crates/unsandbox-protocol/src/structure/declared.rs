// SPDX-License-Identifier: MIT OR Apache-2.0
//! Languages whose programs declare the name that their tools want: a package, a module, a class, a goal.

use super::scan::{Kind, LIKE_C, Named, Quote, Syntax, Token, scan, word_at, words_behind};
use super::{Draft, NAME_MAX_BYTES, Source, native, unnamed};
use std::borrow::Cow;

const GO: Syntax = Syntax { strings: &[Quote::raw("`", "`"), Quote::line("\"")], ..LIKE_C };
const ERLANG: Syntax = Syntax {
    line_comments: &["%"],
    block_comments: &[],
    strings: &[Quote::block("\""), Quote::block("'")],
    characters: false,
    word: "@$",
    ..LIKE_C
};
const HASKELL: Syntax = Syntax {
    line_comments: &["--"],
    block_comments: &[("{-", "-}", true)],
    strings: &[Quote::line("\"")],
    word: ".",
    ..LIKE_C
};
const OCAML: Syntax = Syntax {
    line_comments: &[],
    block_comments: &[("(*", "*)", true)],
    strings: &[Quote::block("\""), Quote::raw("{|", "|}")],
    named: |rest| {
        let name = word_at(rest.strip_prefix('{')?)?;
        let is_named = rest[1 + name.len()..].starts_with('|');
        let named = Named { open: name.len() + 2, close: format!("|{name}}}"), on_line: false };
        is_named.then_some(named)
    },
    ..LIKE_C
};
const PROLOG: Syntax = Syntax {
    line_comments: &["%"],
    strings: &[
        // The code of a character.
        Quote { open: "0'\\", close: "", ..Quote::raw("", "") },
        Quote { open: "0''", close: "", ..Quote::raw("", "") },
        Quote { open: "0'", close: "", ..Quote::raw("", "") },
        Quote { doubles: true, ..Quote::block("'") },
        Quote { doubles: true, ..Quote::block("\"") },
        Quote { doubles: true, ..Quote::block("`") },
    ],
    characters: false,
    ..LIKE_C
};
const HAXE: Syntax = Syntax {
    strings: &[Quote { inserts: "${", ..Quote::block("'") }, Quote::block("\"")],
    characters: false,
    ..LIKE_C
};

/// A text without a package is one of `main`; the files of its package are compiled with it.
pub(super) fn go<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (own, uses_c, starts) = {
        let tokens = scan(&draft.text, &GO);
        (go_package(&tokens).map(str::to_string), imports_c(&tokens), starts_here(&tokens))
    };
    let package = own.as_deref().unwrap_or("main");
    let mut form = if uses_c { "cgo" } else { "" };
    let mut left_out = Vec::new();
    let own_folder = draft.own_name.map_or("", folder);
    for (place, other) in others.iter().enumerate() {
        let tokens = scan(other.text, &GO);
        let is_part = folder(other.name) == own_folder;
        let is_program = starts && starts_here(&tokens);
        if !is_part || is_program || !is_built(other) || go_package(&tokens) != Some(package) {
            left_out.push(place);
        }
        // In a module a package of another folder may be used, too.
        if imports_c(&tokens) {
            form = "cgo";
        }
    }
    let text = match own {
        Some(_) => draft.text,
        None => Cow::Owned(format!("package main; {}", draft.text)),
    };
    Draft { text, form, left_out, ..draft }
}

/// Whether a program begins here: two of a folder are two programs.
fn starts_here(tokens: &[Token<'_>]) -> bool {
    let mut three = tokens.windows(3).filter(|three| three[0].depth == 0);
    three.any(|three| three[0].is("func") && three[1].is("main") && three[2].is("("))
}

/// Whether the tool would compile this file here: its name and the lines before its package may say for which systems
/// it is. A file that is named to the tool is compiled whatever it says.
fn is_built(file: &Source<'_>) -> bool {
    let name = file.name.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".go").unwrap_or(name);
    let parts: Vec<&str> = stem.split('_').skip(1).collect();
    let is_other =
        |word: &&&str| (GO_SYSTEMS.contains(*word) || GO_MACHINES.contains(*word)) && !is_tag(word);
    let names_another = match parts[..] {
        [.., "test"] => true,
        [.., system, machine] if GO_MACHINES.contains(&machine) => {
            [&system, &machine].iter().any(is_other)
        }
        [.., last] => is_other(&&last),
        [] => false,
    };
    let before = file.text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
    let before = before.take_while(|line| !line.starts_with("package "));
    let holds = |line: &str| match line.strip_prefix("//go:build ") {
        Some(rule) => is_met(rule),
        None => {
            let rule =
                line.strip_prefix("//").and_then(|line| line.trim_start().strip_prefix("+build "));
            let met = |tags: &str| {
                tags.split(',')
                    .all(|tag| tag.strip_prefix('!').map_or(is_tag(tag), |tag| !is_tag(tag)))
            };
            rule.is_none_or(|rule| rule.split_whitespace().any(met))
        }
    };
    !name.starts_with(['_', '.']) && !names_another && before.into_iter().all(holds)
}

const GO_SYSTEMS: [&str; 14] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];
const GO_MACHINES: [&str; 11] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "ppc64le", "riscv64", "s390x",
    "wasm",
];

/// Whether a tag holds on this system.
fn is_tag(tag: &str) -> bool {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    matches!(tag, "linux" | "unix" | "gc") || tag == machine || tag.starts_with("go1.")
}

/// `a && (b || !c)`, in which `&&` binds closer.
fn is_met(rule: &str) -> bool {
    const GO_RULE: Syntax = Syntax { word: ".", ..GO };
    const TOKENS_MAX: usize = 200;
    let tokens = scan(rule, &GO_RULE);
    let words: Vec<&str> = tokens.iter().take(TOKENS_MAX).map(|token| token.text).collect();
    any_of(&words, &mut 0)
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = all_of(words, at);
    while words.get(*at) == Some(&"|") {
        *at += 2;
        met |= all_of(words, at);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut met = one_of(words, at);
    while words.get(*at) == Some(&"&") {
        *at += 2;
        met &= one_of(words, at);
    }
    met
}

fn one_of(words: &[&str], at: &mut usize) -> bool {
    *at += 1;
    match words.get(*at - 1) {
        Some(&"!") => !one_of(words, at),
        Some(&"(") => {
            let met = any_of(words, at);
            *at += 1;
            met
        }
        Some(tag) => is_tag(tag),
        None => true,
    }
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn go_package<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    let first = tokens.first().filter(|first| first.is("package"))?;
    tokens.get(1).and_then(Token::word).filter(|_| first.depth == 0)
}

fn imports_c(tokens: &[Token<'_>]) -> bool {
    let imports =
        tokens.iter().enumerate().filter(|(_, token)| token.is("import") && token.depth == 0);
    imports.into_iter().any(|(place, _)| match tokens.get(place + 1) {
        Some(next) if next.is("(") => tokens[place + 2..]
            .iter()
            .take_while(|token| token.depth > 0)
            .any(|token| token.text == "\"C\""),
        Some(next) => next.text == "\"C\"",
        None => false,
    })
}

/// A module's file has its name; a text without one, such as an escript, is made a module.
pub(super) fn erlang(draft: Draft<'_>) -> Draft<'_> {
    let name = {
        let tokens = scan(&draft.text, &ERLANG);
        let declared = tokens.windows(4).find(|four| {
            four[0].is("-") && four[0].depth == 0 && four[1].is("module") && four[2].is("(")
        });
        declared.map(|four| four[3].text.trim_matches('\'').to_string())
    };
    // It becomes the name of a file.
    match name.filter(|name| !name.is_empty() && !name.contains(['/', '\0'])) {
        Some(name) if name.len() + ".erl".len() <= NAME_MAX_BYTES => {
            Draft { source: format!("{name}.erl"), entry: name, ..draft }
        }
        // No file is called so: the compiler says that the names differ.
        Some(_) => Draft { entry: "main".to_string(), ..draft },
        None => {
            let text = Cow::Owned(format!("-module(main). {}", draft.text));
            Draft { text, entry: "main".to_string(), ..draft }
        }
    }
}

/// The module that has the `main`; a literate program has a name of its own. Files of C are linked where it calls
/// foreign functions.
pub(super) fn haskell<'a>(
    draft: Draft<'a>,
    others: &[Source<'_>],
    files: &[(String, Vec<u8>)],
) -> Draft<'a> {
    let bare = is_literate(&draft.text).then(|| unlit(&draft.text));
    let entry = {
        let tokens = scan(bare.as_deref().unwrap_or(&draft.text), &HASKELL);
        let is_module = tokens.first().is_some_and(|first| first.is("module"));
        let name = tokens.get(1).and_then(Token::word).filter(|_| is_module);
        name.filter(|name| *name != "Main").unwrap_or_default().to_string()
    };
    let imports_foreign = |text: &str| {
        let tokens = scan(text, &HASKELL);
        tokens.windows(2).any(|two| two[0].is("foreign") && two[1].is("import"))
    };
    let modules = files.iter().filter(|(name, _)| name.ends_with("hs"));
    let mut texts = modules.filter_map(|(_, content)| std::str::from_utf8(content).ok());
    let calls_c = imports_foreign(&draft.text) || texts.any(imports_foreign);
    let linked = if calls_c { native::linked(others, files) } else { Vec::new() };
    let left_out =
        (0..others.len()).filter(|place| !linked.contains(&others[*place].name)).collect();
    let source = if bare.is_some() { "main.lhs".to_string() } else { draft.source };
    Draft { source, entry, left_out, ..draft }
}

/// Code after `>` at the beginning of lines, or between `\begin{code}` and `\end{code}`; other programs have neither
/// but in comments and strings.
fn is_literate(text: &str) -> bool {
    if !text.lines().any(|line| line.starts_with(['>', '\\'])) {
        return false;
    }
    let tokens = scan(text, &HASKELL);
    tokens.iter().enumerate().any(|(place, token)| {
        let begins =
            token.kind == Kind::Sign && (token.at == 0 || text[..token.at].ends_with('\n'));
        let word = |count: usize| tokens.get(place + count).map_or("", |token| token.text);
        begins && (token.is(">") || token.is("\\") && word(1) == "begin" && word(3) == "code")
    })
}

fn unlit(text: &str) -> String {
    let mut in_code = false;
    let mut bare = String::new();
    for line in text.lines() {
        in_code =
            (in_code || line.starts_with("\\begin{code}")) && !line.starts_with("\\end{code}");
        match line.strip_prefix('>') {
            Some(code) => bare.push_str(code),
            None if in_code && !line.starts_with("\\begin{code}") => bare.push_str(line),
            None => {}
        }
        bare.push('\n');
    }
    bare
}

/// Of OCaml's toplevel. The call of an object's method begins with the same sign.
const DIRECTIVES: [&str; 18] = [
    "use",
    "mod_use",
    "use_output",
    "load",
    "load_rec",
    "require",
    "directory",
    "cd",
    "quit",
    "show",
    "trace",
    "install_printer",
    "print_depth",
    "print_length",
    "warnings",
    "warn_error",
    "rectypes",
    "thread",
];

/// Directives make it a script.
pub(super) fn ocaml<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    // Linked, a module that is not named would run.
    let modules: Vec<String> = others.iter().map(|other| module_of(other.name)).collect();
    let names: Vec<Option<Vec<&str>>> = modules.iter().map(|name| Some(vec![&**name])).collect();
    let words = |place: usize| capitalized(others[place].text);
    let left_out = unnamed(&names, capitalized(&draft.text), words);
    let is_script = {
        let tokens = scan(&draft.text, &OCAML);
        tokens.iter().enumerate().any(|(place, token)| {
            let begins = place == 0 || token.begins_line || tokens[place - 1].is(";");
            let next = tokens.get(place + 1).filter(|next| next.at == token.end());
            let is_known = next.is_some_and(|next| DIRECTIVES.contains(&next.text));
            begins && is_known && token.is("#") && token.depth == 0
        })
    };
    Draft { form: if is_script { "script" } else { "" }, left_out, ..draft }
}

/// The words of a text that may name a module.
fn capitalized(text: &str) -> impl Iterator<Item = &str> {
    let words = scan(text, &OCAML).into_iter().filter_map(|token| token.word());
    words.chain(words_behind(text)).filter(|word| word.starts_with(char::is_uppercase))
}

/// The module that a file is.
fn module_of(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or_default();
    let mut letters = name.rsplit_once('.').map_or(name, |(stem, _)| stem).chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// `main/0` is called where it is defined and nothing in the text calls it.
pub(super) fn prolog(draft: Draft<'_>) -> Draft<'_> {
    let calls_main = {
        let tokens = scan(&draft.text, &PROLOG);
        let clauses = tokens.split_inclusive(|token| {
            token.is(".") && token.depth == 0 && ends_clause(&draft.text, token)
        });
        let (mut defines, mut runs) = (false, false);
        for clause in clauses {
            let [first, second, ..] = clause else { continue };
            let is_goal = matches!(first.text, ":" | "?") && second.is("-");
            let third = clause.get(2).map_or("", |third| third.text);
            defines |= first.is("main")
                && (second.is(".") || second.is(":") || second.is("-") && third == "-");
            // `:- main.`, `?- main, halt.`, `:- initialization(main).`, and one that ends with it.
            let calls = |place: usize| clause.get(place).is_some_and(|token| token.is("main"));
            let is_initialization = third == "initialization" && (calls(3) || calls(4));
            runs |= is_goal && (calls(2) || is_initialization);
        }
        defines && !runs
    };
    Draft { entry: if calls_main { "main" } else { "true" }.to_string(), ..draft }
}

fn ends_clause(text: &str, dot: &Token<'_>) -> bool {
    text[dot.end()..].chars().next().is_none_or(|next| next.is_whitespace() || next == '%')
}

/// The file has the name of the class that has the `main`.
pub(super) fn haxe(draft: Draft<'_>) -> Draft<'_> {
    let name = {
        let tokens = scan(&draft.text, &HAXE);
        let main = tokens.windows(2).position(|two| two[0].is("function") && two[1].is("main"));
        let before = &tokens[..main.unwrap_or(tokens.len())];
        let mut classes =
            before.windows(2).rev().filter(|two| two[0].is("class") && two[0].depth == 0);
        let name = classes.find_map(|two| two[1].word());
        let is_short = |name: &&str| name.len() + ".hx".len() <= NAME_MAX_BYTES;
        name.filter(is_short).unwrap_or("Main").to_string()
    };
    Draft { source: format!("{name}.hx"), entry: name, ..draft }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lay_out, uploaded};
    use super::super::{Layout, Upload};

    fn laid<'a>(language: &str, code: &'a str) -> Layout<'a> {
        lay_out(language, Upload { code, files: &[] })
    }

    #[test]
    fn go_needs_a_package() {
        let found = laid("go", "/*\npackage x\n*/\nimport \"C\"\nfunc main() {}");
        assert!(found.text.starts_with("package main; /*"));
        assert_eq!(found.form, "cgo");
        assert_eq!(laid("go", "// c\npackage main\nimport (\"fmt\"; \"C\")").form, "cgo");
        assert_eq!(
            laid("go", "package main\nvar s = \"import \\\"C\\\"\" // import \"C\"").form,
            ""
        );
        let files = [
            ("util.go", "package main"),
            ("other.go", "package other"),
            ("x_test.go", "package main"),
            ("program.go", "package main\nfunc main() {}"),
        ];
        let files = uploaded(&files);
        let upload = Upload { code: "package main\nfunc main() {}", files: &files };
        assert_eq!(lay_out("go", upload).sources, ["util.go"]);
    }

    #[test]
    fn go_files_of_other_systems_are_left_out() {
        let windows = "//go:build windows && (amd64 || !linux)\n\npackage main";
        let files = [
            ("a.go", "\u{feff}//go:build ignore\r\n\r\npackage main"),
            ("b.go", "// +build ignore\n\npackage main"),
            ("c.go", windows),
            ("d.go", "// Copyright\n\n//go:build linux && (plan9 || !cgo)\n\npackage main"),
            ("e.go", "// +build linux,!windows plan9\n\npackage main // +build ignore"),
            ("f_windows.go", "package main"),
            ("f_linux.go", "package main"),
            ("f_linux_s390x.go", "package main"),
            ("linux_f.go", "package main"),
            ("windows.go", "package main"),
            ("_g.go", "package main"),
            ("f_windows_test.go", "package main"),
            ("h.go", "\u{feff}package main"),
        ];
        let files = uploaded(&files);
        let upload = Upload { code: windows, files: &files };
        let built = ["d.go", "e.go", "f_linux.go", "linux_f.go", "windows.go", "h.go"];
        assert_eq!(lay_out("go", upload).sources[..], built[..]);
    }

    #[test]
    fn haskell_is_linked_with_c_where_it_calls_it() {
        let files: Vec<(String, Vec<u8>)> =
            vec![("part.c".to_string(), b"int f(void) { return 1; }".to_vec())];
        let sources = |code| lay_out("haskell", Upload { code, files: &files }).sources;
        assert_eq!(
            sources("foreign import ccall \"f\" f :: IO Int\nmain = f >>= print"),
            ["part.c"]
        );
        assert!(sources("main = print 1 -- foreign import").is_empty());
    }

    #[test]
    fn modules_are_found_in_code_alone() {
        for (language, code, source, entry) in [
            ("erlang", "%% -module(old).\n-module(m).\n", "m.erl", "m"),
            ("erlang", "- module ( 'a b' ).", "a b.erl", "a b"),
            ("erlang", "main(_) -> io:format(\"-module(x).\").", "main.erl", "main"),
            ("haskell", "{-\nmodule Old where\n-}\nmain = putStrLn \"x\"", "main.hs", ""),
            (
                "haskell",
                "{-# LANGUAGE X #-}\n-- module C where\nmodule A.B (main) where\nmain = f'",
                "main.hs",
                "A.B",
            ),
            ("haskell", "module Main where\nmain = print '\"'", "main.hs", ""),
            ("haskell", "A text.\n\n> module Lit where\n> main = print 1\n", "main.lhs", "Lit"),
            (
                "haskell",
                "main text, \"it\n\nimport is a word's\n\n> module Lit where\n>main = print \"1\"",
                "main.lhs",
                "Lit",
            ),
            (
                "haskell",
                "module in a text\n\\begin{code}\nmodule Lit where\n\\end{code}\n",
                "main.lhs",
                "Lit",
            ),
            ("haskell", "{-\n> example\n-}\nmodule M where\n  -- \\begin{code}", "main.hs", "M"),
            ("haskell", "\\begin{code}\nmain = print 1\n\\end{code}\n", "main.lhs", ""),
            (
                "haxe",
                "// class Old { static function main() }\nclass App { static function main() { } }",
                "App.hx",
                "App",
            ),
            (
                "haxe",
                "class A { } class B { static public function main() { trace('class C'); } }",
                "B.hx",
                "B",
            ),
        ] {
            let found = laid(language, code);
            assert_eq!((&*found.source, &*found.entry), (source, entry), "{code}");
        }
    }

    #[test]
    fn ocaml_with_directives_is_a_script() {
        for (code, form) in [
            ("#use \"x.ml\";;", "script"),
            ("let x = 1;; #load \"unix.cma\";;", "script"),
            ("(* #use \"x.ml\" *)\nlet () = print_string \"#use\"", ""),
            ("let s = {a|\n#use \"x.ml\" |} |a}", ""),
            ("let () =\n  obj\n  #method_of\n  x#y \"a\"", ""),
        ] {
            assert_eq!(laid("ocaml", code).form, form, "{code}");
        }
    }

    #[test]
    fn prolog_calls_main_where_nothing_else_does() {
        for (code, goal) in [
            ("main :- write(hi), nl.\n?- main.", "true"),
            ("main :- write(hi).\n:- initialization(main).", "true"),
            ("main :- write(hi).", "main"),
            ("main.", "main"),
            ("main --> [].", "main"),
            ("% :- main.\nmain :- write(':- main. ').", "main"),
            ("a(0'a). main :- a.b, true.", "main"),
            ("main(X) :- write(X).", "true"),
            (":- module(m, [main/0]).\nmain :- writeln(ran).", "main"),
            (":- initialization(setup).\nsetup.\nmain :- write(x).", "main"),
            (":- initialization(main, main).\nmain :- write(x).", "true"),
            ("vowel(C) :- C = 0'a.\nmain :- write('yes').", "main"),
        ] {
            assert_eq!(laid("prolog", code).entry, goal, "{code}");
        }
    }
}
