// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs of a language, read from its folder; `bindings-tests/languages/README.md` says what
//! the name of each means.

use crate::checks::Check;
use std::fs;
use std::path::PathBuf;
use unsandbox_protocol::language::Language;

/// `hello` once more, as an editor of another system saves it.
pub const CRLF: &str = "crlf";
/// `args` once more, with arguments that a tool or a shell would take for its own.
pub const ODD_ARGS: &str = "odd_args";

fn folder(language: &Language) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings-tests/languages");
    PathBuf::from(root).join(language.name)
}

/// Every program of the folder, by its name without extension.
fn read(language: &Language) -> Vec<(String, String)> {
    let folder = folder(language);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} has no programs: {folder:?}: {error}", language.name));
    let mut programs: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
            (name.to_string(), fs::read_to_string(&path).expect("programs are UTF-8"))
        })
        .collect();
    programs.sort();
    programs
}

/// What the language is tried with.
pub fn of(language: &'static Language) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, code) in read(language) {
        if name == "hello" {
            let crlf = format!("\u{feff}{}", code.replace('\n', "\r\n"));
            checks.push(Check { language, name: CRLF.to_string(), code: crlf });
        }
        if name == "args" {
            checks.push(Check { language, name: ODD_ARGS.to_string(), code: code.clone() });
        }
        checks.push(Check { language, name, code });
    }
    assert!(checks.iter().any(|check| check.name == "hello"), "{} has no hello", language.name);
    checks
}

/// The text of its `hello`.
pub fn hello(language: &Language) -> String {
    let hello = read(language).into_iter().find(|(name, _)| name == "hello");
    hello.unwrap_or_else(|| panic!("{} has no hello", language.name)).1
}
