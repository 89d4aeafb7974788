// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the files of a program lie in its work directory, as its language wants them: the name of the source, what is
//! written around it, the uploaded files that are compiled with it, and where it begins. Recipes take all of this as
//! words of their commands, so that no command has to search the text.

mod columns;
mod csharp;
mod declared;
mod java;
mod javascript;
mod jvm;
mod native;
mod scan;
mod wrapped;

use crate::language::{Language, Recipe, Structure};
use std::borrow::Cow;
use std::collections::HashMap;

/// A source and the files that were uploaded with it.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// The text of the program.
    pub code: &'a str,
    /// Names, relative to the work directory, and contents.
    pub files: &'a [(String, Vec<u8>)],
}

/// How a program lies in its work directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout<'a> {
    /// `{source}`: the name of the source.
    pub source: String,
    /// Its text.
    pub text: Cow<'a, str>,
    /// `{sources}`: the uploaded files that are compiled with it, in the order in which compilers want them.
    pub sources: Vec<String>,
    /// `{entry}`: the class, module or goal where the program begins; empty where the language has no choice.
    pub entry: String,
    /// `{form}`: which of several ways to compile and run it, in a word of the recipe; empty for the usual one.
    pub form: &'static str,
    /// The uploaded file that is the source itself, and is not placed twice.
    pub replaces: Option<String>,
    /// Files of ours, named relative to the writable tree, outside the work directory.
    pub beside: Vec<(&'static str, &'static str)>,
}

/// Longer names than a file may have, with a number and a folder, and than a command takes as a word.
const NAME_MAX_BYTES: usize = 120;
const ENTRY_MAX_BYTES: usize = 8_192;

/// What a language's structure says; [`layout`] completes it.
struct Draft<'a> {
    source: String,
    text: Cow<'a, str>,
    entry: String,
    form: &'static str,
    beside: Vec<(&'static str, &'static str)>,
    /// Uploaded files that are not compiled with the program, by their place.
    left_out: Vec<usize>,
    /// The order of uploaded files, by their place; empty for that of the request.
    order: Vec<usize>,
    /// The uploaded file that has the program's own text: the program is this file.
    own_name: Option<&'a str>,
}

impl<'a> Draft<'a> {
    fn new(source: String, text: Cow<'a, str>, own_name: Option<&'a str>) -> Draft<'a> {
        Draft {
            source,
            text,
            entry: String::new(),
            form: "",
            beside: Vec::new(),
            left_out: Vec::new(),
            order: Vec::new(),
            own_name,
        }
    }
}

/// A file of the program's own language.
#[derive(Clone, Copy)]
struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

/// Lays a program of `language` out for one of its recipes.
pub fn layout<'a>(language: &Language, recipe: &Recipe, upload: Upload<'a>) -> Layout<'a> {
    let text = written(language, language.source_text(upload.code));
    let same = |(_, content): &&(String, Vec<u8>)| content == upload.code.as_bytes();
    let own_name = upload.files.iter().find(same).map(|(name, _)| name.as_str());
    let further = upload.files.iter().filter(|(name, _)| Some(name.as_str()) != own_name);
    let others: Vec<Source<'_>> = further.filter_map(|file| source(language, file)).collect();
    let usual = named(language, recipe, language.source.to_string(), own_name, upload);
    let draft = Draft::new(usual, text, own_name);
    let draft = match recipe.structure {
        Structure::Plain => draft,
        Structure::C => native::c(draft, language.name, &others, upload.files),
        Structure::Zig => native::zig(draft, upload.files),
        Structure::Assembly => native::assembly(draft, &others),
        Structure::Java => java::java(draft, &others, upload.files),
        Structure::Kotlin => jvm::kotlin(draft, &others),
        Structure::Scala => jvm::scala(draft, &others),
        Structure::JavaScript => javascript::javascript(draft, upload.files),
        Structure::CSharp => csharp::csharp(draft, &others),
        Structure::Go => declared::go(draft, &others),
        Structure::Erlang => declared::erlang(draft),
        Structure::Haskell => declared::haskell(draft, &others, upload.files),
        Structure::Haxe => declared::haxe(draft),
        Structure::OCaml => declared::ocaml(draft, &others),
        Structure::Prolog => declared::prolog(draft),
        Structure::Fortran => columns::fortran(draft, &others),
        Structure::Cobol => columns::cobol(draft, &others),
        Structure::Clojure => wrapped::clojure(draft),
        Structure::CoffeeScript => wrapped::coffeescript(draft),
        Structure::Php => wrapped::php(draft),
        Structure::Racket => wrapped::racket(draft),
    };
    complete(language, recipe, draft, &others, upload)
}

/// The text as the language's tools are given it.
fn written<'a>(language: &Language, text: Cow<'a, str>) -> Cow<'a, str> {
    let mut text = text;
    if language.drops_shebang && text.starts_with("#!") {
        let end = text.find('\n').unwrap_or(text.len());
        text = Cow::Owned(text[end..].to_string());
    }
    if language.after.is_empty() { text } else { Cow::Owned(text.into_owned() + language.after) }
}

fn source<'a>(language: &Language, (name, content): &'a (String, Vec<u8>)) -> Option<Source<'a>> {
    let extension = extension(name)?;
    let is_source = language.sources.iter().any(|known| known.eq_ignore_ascii_case(extension));
    is_source.then(|| std::str::from_utf8(content).ok().map(|text| Source { name, text }))?
}

fn complete<'a>(
    language: &Language,
    recipe: &Recipe,
    draft: Draft<'a>,
    others: &[Source<'_>],
    upload: Upload<'a>,
) -> Layout<'a> {
    let Draft { source, text, entry, form, beside, left_out, order, own_name } = draft;
    let source = if source.len() > NAME_MAX_BYTES { language.source.to_string() } else { source };
    let entry = if entry.len() > ENTRY_MAX_BYTES { String::new() } else { entry };
    let order = if order.is_empty() { (0..others.len()).collect() } else { order };
    let kept = order.into_iter().filter(|place| !left_out.contains(place));
    let sources = kept.map(|place| others[place].name.to_string()).collect();
    let source = named(language, recipe, source, own_name, upload);
    let replaces = own_name.filter(|name| *name == source).map(str::to_string);
    Layout { source, text, sources, entry, form, replaces, beside }
}

/// The name of the uploaded file that is the source, if it is of the wanted kind; otherwise a free one, beside it.
fn named(
    language: &Language,
    recipe: &Recipe,
    wanted: String,
    own_name: Option<&str>,
    upload: Upload<'_>,
) -> String {
    let taken = |name: &str| upload.files.iter().any(|(file, _)| file == name);
    match own_name.filter(|name| extension(name) == extension(&wanted)) {
        Some(name) => name.to_string(),
        None => {
            let folder = own_name.and_then(|name| name.rsplit_once('/')).map(|(folder, _)| folder);
            let beside = folder.filter(|_| !wanted.contains('/'));
            let wanted = beside.map_or(wanted.clone(), |folder| format!("{folder}/{wanted}"));
            free_name(language, recipe, wanted, taken)
        }
    }
}

/// The files that neither the program names nor a file that it names, each by its own names and the words in it: a
/// compiler that is given the program alone would not look at them. A file whose names are not known is not among them.
fn unnamed<'t, Words: Iterator<Item = &'t str>>(
    names: &[Option<Vec<&str>>],
    own: impl Iterator<Item = &'t str>,
    words: impl Fn(usize) -> Words,
) -> Vec<usize> {
    let mut homes: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, names) in names.iter().enumerate() {
        names.iter().flatten().for_each(|name| homes.entry(name).or_default().push(place));
    }
    let mut is_used: Vec<bool> = names.iter().map(Option::is_none).collect();
    let mut unread: Vec<usize> = (0..names.len()).filter(|place| is_used[*place]).collect();
    let mut uses = |word: &str, unread: &mut Vec<usize>| {
        for place in homes.remove(word).unwrap_or_default() {
            if !std::mem::replace(&mut is_used[place], true) {
                unread.push(place);
            }
        }
    };
    own.for_each(|word| uses(word, &mut unread));
    while let Some(place) = unread.pop() {
        words(place).for_each(|word| uses(word, &mut unread));
    }
    (0..names.len()).filter(|place| !is_used[*place]).collect()
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// The wanted name, or a similar one if an uploaded file has it: another name where the language takes any, the
/// same name in a folder of its own where the name means something.
fn free_name(
    language: &Language,
    recipe: &Recipe,
    wanted: String,
    taken: impl Fn(&str) -> bool,
) -> String {
    let (stem, extension) = wanted.rsplit_once('.').unwrap_or((&wanted, ""));
    let means = matches!(recipe.structure, Structure::Java | Structure::Erlang | Structure::Haxe);
    let numbered = |number: usize| match means {
        false => format!("{stem}_{number}.{extension}"),
        true => format!("{stem}_{number}/{wanted}"),
    };
    let made = |stem: &str| format!("{stem}.{}", language.makes);
    let is_free = |name: &String| {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let folder = name.split_once('/').map_or("", |(folder, _)| folder);
        !taken(name) && (language.makes.is_empty() || !taken(&made(stem))) && !taken(folder)
    };
    let candidates = std::iter::once(wanted.clone()).chain((1..).map(numbered));
    candidates.into_iter().find(is_free).expect("there are more numbers than files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::find_language;

    /// For the recipe that the tests of the project run.
    pub(super) fn lay_out<'a>(language: &str, upload: Upload<'a>) -> Layout<'a> {
        let language = find_language(language).unwrap();
        layout(language, language.offered(), upload)
    }

    /// Files as a request has them.
    pub(super) fn uploaded(files: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
    }

    fn files(names: &[&str]) -> Vec<(String, Vec<u8>)> {
        names.iter().map(|name| (name.to_string(), Vec::new())).collect()
    }

    fn source(language: &str, code: &str, taken: &[&str]) -> String {
        lay_out(language, Upload { code, files: &files(taken) }).source
    }

    #[test]
    fn the_source_takes_a_name_that_no_uploaded_file_has() {
        assert_eq!(source("python", "1", &[]), "main.py");
        assert_eq!(source("python", "1", &["main.py", "main_1.py"]), "main_2.py");
        assert_eq!(source("java", "public class A {}", &["A.java"]), "A_1/A.java");
        assert_eq!(source("java", "public class A {}", &["A.java", "A_1"]), "A_2/A.java");
        assert_eq!(source("java", "public class Main {}", &["Main.java"]), "Main_1/Main.java");
        assert_eq!(source("javascript", "await 1", &["main.mjs"]), "main_1.mjs");
        assert_eq!(source("typescript", "1", &["main.js"]), "main_1.ts");
        let long = format!("public class {} {{}}", "A".repeat(300));
        assert_eq!(source("java", &long, &[]), "Main.java");
    }

    #[test]
    fn the_program_is_the_uploaded_file_that_has_its_text() {
        for (language, name, code) in [
            ("python", "pkg/app.py", "1"),
            ("c", "src/app.c", "int main() {}"),
            ("go", "app.go", "package main"),
            ("java", "com/x/App.java", "package com.x; public class App {}"),
        ] {
            let files =
                [(name.to_string(), code.as_bytes().to_vec()), ("b.go".to_string(), Vec::new())];
            let found = lay_out(language, Upload { code, files: &files });
            assert_eq!((&*found.source, found.replaces.as_deref()), (name, Some(name)));
            assert!(found.sources.is_empty(), "{:?}", found.sources);
        }
        let module = [("src/app.js".to_string(), b"import './u.js'".to_vec())];
        let found = lay_out("javascript", Upload { code: "import './u.js'", files: &module });
        assert_eq!((&*found.source, found.replaces), ("src/main.mjs", None));
        let other = [("app.txt".to_string(), b"1".to_vec())];
        let found = lay_out("python", Upload { code: "1", files: &other });
        assert_eq!((&*found.source, found.replaces), ("main.py", None));
    }

    #[test]
    fn a_program_ends_and_begins_as_its_tools_want() {
        let text =
            |language, code| lay_out(language, Upload { code, files: &[] }).text.into_owned();
        assert_eq!(text("forth", ".\" hi\""), ".\" hi\"\nbye\n");
        assert_eq!(text("kotlin", "#!/usr/bin/env kotlin\nprintln(1)"), "\nprintln(1)");
        assert_eq!(text("python", "#!/usr/bin/python3\n1"), "#!/usr/bin/python3\n1");
        assert_eq!(text("bc", "1+1"), "1+1\n\nquit\n");
    }

    /// Texts that nest, repeat or leave open what a structure looks for. A test that does not end fails.
    #[test]
    fn no_text_takes_long_in_any_language() {
        let pieces = [
            "class A extends A { ",
            "class A : A ",
            "object A extends A ",
            "main() ",
            "main(",
            "a; class B{} ",
            "await a + ",
            "x => await a ",
            "return a; ",
            "){",
            "function main ",
            "export ",
            "import \"C\" ",
            "use a\n",
            "module a\n",
            "public static void ",
            "[a] ",
            "a.main ",
            "fun main ",
            "- module ( ",
            "public ",
            "static Main(",
            "global a\n",
            "a:\n",
            "package a {",
            "package a\n",
            "const a, require, ",
            "#include \"a\"\n",
            "//go:build (!",
            "R\"a(",
            "<<<A\n",
            "q\"A\n",
            "{a|",
        ];
        let mut seen = Vec::new();
        for language in crate::language::languages() {
            if seen.contains(&language.offered().structure) {
                continue;
            }
            seen.push(language.offered().structure);
            for piece in pieces {
                let code = piece.repeat(64 * 1024 / piece.len());
                let extension = language.sources.first().unwrap_or(&"js");
                let files = vec![(format!("x.{extension}"), code.clone().into_bytes())];
                layout(language, language.offered(), Upload { code: &code, files: &files });
            }
        }
    }

    /// Each of these once took the square of its length, in time, in memory or in what is written.
    #[test]
    fn no_text_takes_long_or_makes_a_long_one() {
        let long = "A".repeat(300_000);
        let spaces = "a.".repeat(50_000);
        let classes = "class a{} ".repeat(10_000);
        let mains = "class a{static Main()} class b{static Main()} ".repeat(4_000);
        for (language, code) in [
            ("haskell", "-".repeat(512 * 1024 - 1) + ">"),
            ("csharp", "using a {} ".repeat(45_000)),
            ("csharp", "using System;".repeat(12_000) + "System.Console.Write(1);"),
            ("csharp", "[}".repeat(200_000)),
            ("csharp", format!("namespace {long}{{{mains}")),
            ("java", format!("class {long}{{{classes}}}")),
            ("java", format!("package {spaces}b;{classes}")),
            ("kotlin", format!("class {long}{{{classes}}}")),
            ("kotlin", format!("package {spaces}b\n{classes}")),
            ("scala", format!("package {long} {{{}}}", "package a { } ".repeat(10_000))),
            ("javascript", "/[".repeat(250_000)),
            ("assembly", "[extern ".repeat(60_000)),
        ] {
            let found = lay_out(language, Upload { code: &code, files: &[] });
            let begin = &code[..code.len().min(20)];
            assert!(found.text.len() < 20 * code.len(), "{language}: {begin}");
            assert!(found.entry.len() <= ENTRY_MAX_BYTES, "{language}: {begin}");
        }
    }

    #[test]
    fn files_that_name_each_other_do_not_take_long() {
        let text = |number: usize| format!("class A{number} {{ A{} a; }} ", number + 1).repeat(200);
        for is_reversed in [false, true] {
            let mut files: Vec<(String, Vec<u8>)> =
                (0..400).map(|n| (format!("A{n}.java"), text(n).into_bytes())).collect();
            files.push(("Alone.java".to_string(), b"class Alone { }".to_vec()));
            if is_reversed {
                files.reverse();
            }
            let code = "class M { public static void main(String[] a) { new A0(); } }";
            let found = lay_out("java", Upload { code, files: &files });
            assert_eq!((&*found.entry, found.sources.len()), ("M", 400));
        }
    }

    /// A text is read up to a bound, and nothing is lost behind it.
    #[test]
    fn the_end_of_a_long_program_stays() {
        let long = |code: &str, end: &str| code.to_string() + &" ".repeat(600 * 1024) + end;
        for language in crate::language::languages() {
            for code in ["class A { } f(1);", "await f();"] {
                let code = long(code, "g(2);");
                let found = lay_out(language.name, Upload { code: &code, files: &[] });
                assert!(found.text.contains(&code), "{}", language.name);
            }
        }
        let files = [("B.java".to_string(), b"class B { }".to_vec())];
        let code = long("class M { public static void main(String[] a) {", "new B(); } }");
        assert_eq!(lay_out("java", Upload { code: &code, files: &files }).sources, ["B.java"]);
    }

    /// Longer names than a file has are not told to the tools either.
    #[test]
    fn the_source_and_the_entry_agree() {
        for len in [1, 115, 116, 117, 118, 300] {
            let name = "a".repeat(len);
            let erlang = format!("-module({name}).");
            let haxe = format!("class A{name} {{ static function main() {{ }} }}");
            for (language, code, extension) in [("erlang", erlang, "erl"), ("haxe", haxe, "hx")] {
                let found = lay_out(language, Upload { code: &code, files: &[] });
                assert_eq!(found.source, format!("{}.{extension}", found.entry), "{code}");
                assert!(found.source.len() <= NAME_MAX_BYTES);
            }
        }
    }
}
