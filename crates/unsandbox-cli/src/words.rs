// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of `unsandbox run`: options end at the program, as those of python and node do, so that the words behind
//! it are the program's.

use crate::args::Cli;
use clap::{Arg, Command, CommandFactory};
use std::ffi::OsString;

/// The arguments with a `--` where the words of the program of `run` begin.
pub(crate) fn end_options(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|word| word != "run") {
        return args;
    }
    let cli = Cli::command();
    let Some(run) = cli.find_subcommand("run") else { return args };
    let (mut at, mut has_code) = (2, false);
    while let Some(word) = args.get(at) {
        let word = word.to_string_lossy();
        if word == "--" {
            return args;
        }
        if word == "-" || !word.starts_with('-') {
            // With -c there is no FILE: this is already a word of the program.
            let end = if has_code { at } else { at + 1 };
            if args.get(end).is_some_and(|next| next != "--") {
                args.insert(end, "--".into());
            }
            return args;
        }
        let Flag { takes_next, is_code } = option(run, &word);
        has_code |= is_code;
        at += if takes_next { 2 } else { 1 };
    }
    args
}

struct Flag {
    /// Whether the next word is its value.
    takes_next: bool,
    is_code: bool,
}

/// What `word`, which begins with a dash, is to `run`. One that is unknown is for clap to refuse.
fn option(run: &Command, word: &str) -> Flag {
    let takes = |arg: &Arg| arg.get_action().takes_values();
    let is_code = |arg: &Arg| arg.get_id() == "code";
    if let Some(long) = word.strip_prefix("--") {
        let (name, has_value) = match long.split_once('=') {
            Some((name, _)) => (name, true),
            None => (long, false),
        };
        let found = run.get_arguments().find(|arg| arg.get_long() == Some(name));
        return Flag {
            takes_next: !has_value && found.is_some_and(takes),
            is_code: found.is_some_and(is_code),
        };
    }
    for (at, letter) in word.char_indices().skip(1) {
        let found = run.get_arguments().find(|arg| arg.get_short() == Some(letter));
        if let Some(arg) = found.filter(|arg| takes(arg)) {
            let takes_next = at + letter.len_utf8() == word.len();
            return Flag { takes_next, is_code: is_code(arg) };
        }
    }
    Flag { takes_next: false, is_code: false }
}

#[cfg(test)]
mod tests {
    use super::end_options;
    use std::ffi::OsString;

    #[test]
    fn the_words_behind_the_program_are_its_own() {
        for (given, taken) in [
            ("run a.py", "run a.py"),
            ("run a.py x --help", "run a.py -- x --help"),
            ("run a.py -- x", "run a.py -- x"),
            ("run a.py x -- y", "run a.py -- x -- y"),
            ("run --ttl 5 -vn zerotrust a.py -v", "run --ttl 5 -vn zerotrust a.py -- -v"),
            ("run --ttl=5 -nzerotrust -l python - x", "run --ttl=5 -nzerotrust -l python - -- x"),
            ("run -c code x", "run -c code -- x"),
            ("run -c -x -l bash y", "run -c -x -l bash -- y"),
            ("run -vc code -l bash -- y", "run -vc code -l bash -- y"),
            ("run --code=x y", "run --code=x -- y"),
            ("run --runtime /bin/sh a.sh --url", "run --runtime /bin/sh a.sh -- --url"),
            ("run --nothing a.py x", "run --nothing a.py -- x"),
            ("run", "run"),
            ("run -l", "run -l"),
            ("wait a b", "wait a b"),
            ("serve run x", "serve run x"),
        ] {
            let words = |line: &str| -> Vec<OsString> {
                std::iter::once("unsandbox").chain(line.split(' ')).map(OsString::from).collect()
            };
            assert_eq!(end_options(words(given)), words(taken), "{given}");
        }
    }
}
