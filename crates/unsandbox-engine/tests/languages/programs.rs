// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs of a language, read from its folder; `bindings-tests/languages/README.md` says what
//! the name of each means.

use crate::checks::Check;
use std::fs;
use std::path::{Path, PathBuf};
use unsandbox_protocol::language::Language;

/// `hello` once more, as an editor of another system saves it.
pub const CRLF: &str = "crlf";
/// `args` once more, with arguments that a tool or a shell would take for its own.
pub const ODD_ARGS: &str = "odd_args";

fn folder(language: &Language) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings-tests/languages");
    PathBuf::from(root).join(language.name)
}

/// A program of the folder: its name without extension, its text, and the files that are uploaded with it.
type Program = (String, String, Vec<(String, Vec<u8>)>);

fn stem(path: &Path) -> String {
    path.file_stem().and_then(|name| name.to_str()).expect("a plain name").to_string()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("there are no programs: {folder:?}: {error}"));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths
}

/// Those of the folders in it as well.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths(folder).into_iter().flat_map(inside).collect()
}

fn read(language: &Language) -> Vec<Program> {
    let text = |path: &Path| fs::read_to_string(path).expect("programs are UTF-8");
    let program = |path: PathBuf| {
        if !path.is_dir() {
            return (stem(&path), text(&path), Vec::new());
        }
        let is_main = |file: &PathBuf| file.parent() == Some(&path) && stem(file) == "main";
        let (main, others): (Vec<PathBuf>, Vec<PathBuf>) =
            files(&path).into_iter().partition(is_main);
        let named = |file: PathBuf| {
            let name = file.strip_prefix(&path).ok().and_then(Path::to_str).expect("a plain name");
            (name.to_string(), fs::read(&file).expect("it can be read"))
        };
        (stem(&path), text(&main[0]), others.into_iter().map(named).collect())
    };
    paths(&folder(language)).into_iter().map(program).collect()
}

/// What the language is tried with.
pub fn of(language: &'static Language) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, code, files) in read(language) {
        let mut check = |name: &str, code: String| {
            let files = files.clone();
            checks.push(Check { language, name: name.to_string(), code, files });
        };
        if name == "hello" {
            check(CRLF, format!("\u{feff}{}", code.replace('\n', "\r\n")));
        }
        if name == "args" {
            check(ODD_ARGS, code.clone());
        }
        check(&name, code);
    }
    assert!(checks.iter().any(|check| check.name == "hello"), "{} has no hello", language.name);
    checks
}

/// The text of its `hello`.
pub fn hello(language: &Language) -> String {
    let hello = read(language).into_iter().find(|(name, ..)| name == "hello");
    hello.unwrap_or_else(|| panic!("{} has no hello", language.name)).1
}
