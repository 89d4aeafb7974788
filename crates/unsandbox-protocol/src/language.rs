// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one table of languages, from `languages.toml`: names for detection and lookup, recipes for
//! the engine. The build script turns the file into the constants that are included here.

use crate::error::Error;
use crate::limits::{self, LimitRow};
use std::borrow::Cow;
use std::time::Duration;

/// How the structure of a language's programs is read; see [`structure`](crate::structure).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // called by their languages
pub enum Structure {
    /// No tool asks for it.
    Plain,
    Assembly,
    /// Also what is compiled and linked like C.
    C,
    CSharp,
    Cobol,
    Clojure,
    CoffeeScript,
    Erlang,
    Fortran,
    Go,
    Haskell,
    Haxe,
    Java,
    JavaScript,
    Kotlin,
    OCaml,
    Php,
    Prolog,
    Racket,
    Scala,
    Zig,
}

/// What makes the output of a program appear while it runs: line by line, and that of a program which prints much some
/// milliseconds late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Live {
    /// The runtime does it, or a switch in the command; or nothing does.
    No,
    /// A module that Python loads at its start, with that object.
    Python,
    /// A switch of the runtime, which then writes each line, and a shared object that makes this cheap.
    Lines,
    /// A shared object that the program loads, for what is printed with C's stdio.
    Stdio,
}

/// One language: how it is called, and how it is compiled and run.
#[derive(Debug)]
pub struct Language {
    /// Canonical name, which goes on the wire.
    pub name: &'static str,
    /// Other names that requests may use, in any case.
    pub aliases: &'static [&'static str],
    /// Names of its standards, each with the flag that chooses it.
    pub dialects: &'static [(&'static str, &'static str)],
    /// Flags of its compiler that a request may give; a `*` at the end of one stands for any text.
    pub flags: &'static [&'static str],
    /// Extensions of its source files, without the dot.
    pub extensions: &'static [&'static str],
    /// Interpreters in a shebang line, without version suffix.
    pub interpreters: &'static [&'static str],
    /// Name of the source file in the work directory, where its structure does not say another.
    pub source: &'static str,
    /// Extensions of the uploaded files that are compiled with the program.
    pub sources: &'static [&'static str],
    /// Extension of a file that the compile step writes beside the source; empty for none.
    pub makes: &'static str,
    /// Whether its tools do not know a line that begins with `#!`.
    pub drops_shebang: bool,
    /// What ends every program.
    pub after: &'static str,
    /// Whether source text may hold NUL bytes.
    pub allows_nul: bool,
    /// Whether its tools take the CR of a CRLF line end for a character of the line.
    pub lf_only: bool,
    /// Environment variable of the host that chooses the program, as `UNSANDBOX_PYTHON`.
    pub choose: &'static str,
    /// Memory that it needs beyond the default; 0 for none.
    pub memory_mb: u64,
    /// Seconds for the compile step beyond the default; 0 for none.
    pub compile_seconds: u64,
    /// Ways to run it; the first whose programs are all found is taken.
    pub recipes: &'static [Recipe],
}

/// One way to run a language, with the programs that it needs.
///
/// In commands, `{name}` is the path of a program of `programs`; `{source}` the source file, `{stem}` it without
/// extension, `{entry}` and `{form}` what its structure says, `{build}` the folder for what is built, outside the work
/// directory, `{out}` the compiled program there, `{work}` the work directory, `{memory}` the run's limit of memory in MB,
/// `{heap}` three quarters of it, for a runtime's own heap. Alone in a word, `{args}` becomes the program's arguments,
/// `{flags}` the request's flags for the compiler and `{sources}` the uploaded files that are compiled with it. Commands start in the work directory, where every file of
/// the user lies; nothing of ours is written there. Other text in braces stays as it is.
#[derive(Debug)]
pub struct Recipe {
    /// Programs by the name used in commands, each with the file names to look for; the main one first.
    pub programs: &'static [(&'static str, &'static [&'static str])],
    /// How the structure of programs is read for it.
    pub structure: Structure,
    /// Compile command; empty for none.
    pub compile: &'static [&'static str],
    /// Command that runs the program.
    pub run: &'static [&'static str],
    /// Variables of the jail beyond the standard ones; `{memory}` and `{heap}` as in commands.
    pub env: &'static [(&'static str, &'static str)],
    /// What makes its output appear while it runs.
    pub live: Live,
    /// Files of the work directory that `return_artifact` gives (after compiling); empty: not compiled.
    /// A `*` in the last part of a path stands for any characters.
    pub artifact: &'static [&'static str],
    /// Command that makes the artifact from what was compiled, run only where it is asked for.
    pub pack: &'static [&'static str],
    /// Command that makes `{out}.wasm`; empty where the toolchain cannot.
    pub wasm: &'static [&'static str],
    /// Prints the version in its first lines.
    pub version: &'static [&'static str],
    /// Further paths of the host shown read-only, where they exist; a `*` in the last part of one stands
    /// for any characters.
    pub show: &'static [&'static str],
    /// What lies beside the main program and belongs to it, where its folder is no `bin`; a `*` in a name
    /// stands for any characters, and `*` alone for the whole folder.
    pub beside: &'static [&'static str],
    /// Debian package that brings it; empty where there is none.
    pub debian: &'static str,
    /// Package of PyPI, and packages of npm, that bring it; empty where there is none.
    pub pypi: &'static str,
    /// Packages of npm, separated by spaces; empty where there are none.
    pub npm: &'static str,
    /// Another way to get it, in words.
    pub install: &'static str,
    /// Whether the tests of this project have never run it.
    pub untested: bool,
}

impl Language {
    /// The recipe to install for where no runtime is there: the first that the tests run, if any.
    pub fn offered(&self) -> &'static Recipe {
        let tested = self.recipes.iter().find(|recipe| !recipe.untested);
        tested.unwrap_or(&self.recipes[0])
    }

    /// The flag that a name of a standard of it stands for.
    pub fn dialect_flag(&self, name: &str) -> Option<&'static str> {
        let mut dialects = self.dialects.iter();
        dialects.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, flag)| *flag)
    }

    /// Whether a request may give this flag.
    pub fn takes_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| match known.strip_suffix('*') {
            Some(begin) => flag.starts_with(begin),
            None => flag == *known,
        })
    }

    /// The value of a limit that a request does not set; `None` for no limit.
    pub fn default_limit(&self, row: &LimitRow) -> Option<u64> {
        match row.name {
            "memory_bytes" => row.default.max(Some(self.memory_mb << 20)),
            _ => row.default,
        }
    }

    /// The time limit of its compile step, and of each step that makes an artifact.
    pub fn compile_time(&self) -> Duration {
        limits::COMPILE_TIME.max(Duration::from_secs(self.compile_seconds))
    }

    /// `code` as it is given to the language's tools: without byte-order mark, and with line ends
    /// that they understand.
    pub fn source_text<'a>(&self, code: &'a str) -> Cow<'a, str> {
        let code = code.strip_prefix('\u{feff}').unwrap_or(code);
        if self.lf_only && code.contains("\r\n") {
            return Cow::Owned(code.replace("\r\n", "\n"));
        }
        Cow::Borrowed(code)
    }
}

include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// A table that gives a language more than the documented bound does not compile.
const _: () = {
    let mut at = 0;
    while at < LANGUAGES.len() {
        assert!(LANGUAGES[at].compile_seconds <= limits::COMPILE_TIME_MAX.as_secs());
        at += 1;
    }
};

/// Every language, in alphabetical order.
pub fn languages() -> &'static [Language] {
    LANGUAGES
}

/// Finds a language by its name or an alias; upper and lower case are the same.
pub fn find_language(name: &str) -> Option<&'static Language> {
    // The exact name first: it is the usual case, and a call looks it up several times.
    LANGUAGES.iter().find(|language| language.name == name).or_else(|| {
        LANGUAGES.iter().find(|language| {
            language.name.eq_ignore_ascii_case(name)
                || language.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
                || language.dialect_flag(name).is_some()
        })
    })
}

/// As [`find_language`], or ARGUMENT with the names nearest to what was given.
pub fn require_language(name: &str) -> Result<&'static Language, Error> {
    if let Some(language) = find_language(name) {
        return Ok(language);
    }
    if name.trim().is_empty() {
        return Err(Error::argument("language is empty; give a name, as \"python\""));
    }
    let shown: String = name.chars().take(40).collect();
    let near = near_names(name);
    let hint = if near.is_empty() {
        "the operation `languages` lists all".to_string()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    Err(Error::argument(format!("language {shown:?} is unknown; {hint}")))
}

/// The language of a file with this extension (without the dot).
pub fn language_of_extension(extension: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.extensions.contains(&extension)).or_else(|| {
        LANGUAGES.iter().find(|language| {
            language.extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
    })
}

/// Up to three names or aliases within a third of the length of what was typed.
fn near_names(name: &str) -> Vec<&'static str> {
    let typed: Vec<char> = name.to_lowercase().chars().take(40).collect();
    let allowed = (typed.len() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &'static str)> = LANGUAGES
        .iter()
        .filter_map(|language| {
            std::iter::once(&language.name)
                .chain(language.aliases)
                .map(|known| distance(&typed, known))
                .min()
                .filter(|best| *best <= allowed)
                .map(|best| (best, language.name))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_language_only() {
        let mut seen = std::collections::BTreeMap::new();
        for language in languages() {
            for name in std::iter::once(&language.name).chain(language.aliases) {
                assert_eq!(seen.insert(name.to_lowercase(), language.name), None, "{name}");
            }
        }
    }

    #[test]
    fn the_bound_on_compiling_is_what_the_slowest_language_has() {
        let slowest = languages().iter().map(Language::compile_time).max();
        assert_eq!(slowest, Some(limits::COMPILE_TIME_MAX));
        for language in languages() {
            let is_compiled = language.recipes.iter().any(|recipe| !recipe.compile.is_empty());
            assert!(is_compiled || language.compile_seconds == 0, "{}", language.name);
        }
    }

    #[test]
    fn what_no_registry_offers_is_marked_as_untested() {
        for language in languages() {
            for recipe in language.recipes {
                let offered =
                    [recipe.debian, recipe.pypi, recipe.npm].iter().any(|it| !it.is_empty());
                assert!(offered || recipe.untested, "{} {:?}", language.name, recipe.programs);
            }
        }
        let untested = |name| find_language(name).unwrap().offered().untested;
        assert!(untested("julia") && !untested("csharp") && !untested("typescript"));
    }

    #[test]
    fn source_text_is_what_the_tools_understand() {
        let text = "\u{feff}echo hi\r\necho ho\r\n";
        let shell = find_language("bash").unwrap();
        assert_eq!(shell.source_text(text), "echo hi\necho ho\n");
        let python = find_language("python").unwrap();
        assert_eq!(python.source_text(text), "echo hi\r\necho ho\r\n");
        assert_eq!(python.source_text("\r\n\u{feff}"), "\r\n\u{feff}");
    }

    #[test]
    fn an_unknown_name_gets_its_neighbours() {
        assert_eq!(find_language("Python3").unwrap().name, "python");
        let error = require_language("pyhton").unwrap_err();
        assert!(error.message().contains("did you mean python"), "{error}");
        let error = require_language("brainf").unwrap_err();
        assert!(!error.message().contains("unsandbox languages"), "{error}");
        for empty in ["", " "] {
            let error = require_language(empty).unwrap_err();
            assert!(error.message().contains("language is empty"), "{error}");
            assert!(!error.message().contains("did you mean"), "{error}");
        }
    }
}
