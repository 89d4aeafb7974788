// SPDX-License-Identifier: MIT OR Apache-2.0
//! The language named by the first line of a program, as `#!/usr/bin/env python3`.

use crate::language::{Language, languages};

/// The language of the interpreter in the first line, if there is one and it is known.
pub(super) fn of(code: &str) -> Option<&'static Language> {
    let first = code.strip_prefix('\u{feff}').unwrap_or(code).lines().next()?;
    let command = first.strip_prefix("#!")?;
    let mut words = command.split_whitespace();
    let program = base_name(words.next()?);
    if program == "env" { of_interpreter(program_of_env(words)?) } else { of_interpreter(program) }
}

/// The program that `env` starts: what comes after its options and assignments.
fn program_of_env<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    loop {
        let word = words.next()?;
        let word = match word {
            // These take the next word.
            "-u" | "-C" | "--unset" | "--chdir" => {
                words.next()?;
                continue;
            }
            _ => word
                .strip_prefix("--split-string=")
                .or_else(|| word.strip_prefix("-S"))
                .or_else(|| word.strip_prefix("-vS"))
                .unwrap_or(word),
        };
        if !(word.is_empty() || word.starts_with('-') || word.contains('=')) {
            return Some(base_name(word));
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Finds an interpreter by its whole name (`perl6`), else without `.exe` and version (`python3.11`,
/// `guile-3.0`).
fn of_interpreter(name: &str) -> Option<&'static Language> {
    let name = name.strip_suffix(".exe").unwrap_or(name);
    let bare =
        name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    let find =
        |wanted: &str| languages().iter().find(|language| language.interpreters.contains(&wanted));
    find(name).or_else(|| find(bare))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn interpreters_are_found_in_the_first_line_only() {
        for (line, language) in [
            ("#!/usr/bin/python", Some("python")),
            ("#!/usr/bin/env python3", Some("python")),
            ("#!/usr/local/bin/python3.11 -u", Some("python")),
            ("#! /usr/bin/env  python3", Some("python")),
            ("#!/usr/bin/env -S python3 -u", Some("python")),
            ("#!/usr/bin/env -Sdeno run --allow-all", Some("deno")),
            ("#!/usr/bin/env -i LANG=C VAR=x ruby", Some("ruby")),
            ("#!/usr/bin/env -u HOME perl -w", Some("perl")),
            ("#!/usr/bin/env --split-string=node --harmony", Some("javascript")),
            ("#!/bin/sh", Some("bash")),
            ("#!/usr/bin/env escript", Some("erlang")),
            ("#!/usr/bin/runghc", Some("haskell")),
            ("#!/usr/bin/gawk -f", Some("awk")),
            ("#!/usr/bin/perl6", Some("raku")),
            ("#!/usr/bin/perl5.36", Some("perl")),
            ("#!/usr/bin/guile-3.0 -s", Some("scheme")),
            ("#!/usr/bin/tclsh8.6", Some("tcl")),
            ("#!/usr/bin/env Rscript", Some("r")),
            ("#!/usr/bin/env pwsh\r", Some("powershell")),
            ("#!/opt/share/tool", None),
            ("#!", None),
            ("#!/usr/bin/env", None),
            ("#!/usr/bin/env -S", None),
            ("# !/usr/bin/python", None),
            ("\n#!/usr/bin/python", None),
            ("x = 1 #!/usr/bin/python", None),
        ] {
            let code = format!("{line}\nprint(1)\n");
            assert_eq!(of(&code).map(|l| l.name), language, "{line:?}");
            let code = format!("\u{feff}{line}\nprint(1)\n");
            assert_eq!(of(&code).map(|l| l.name), language, "{line:?} after a byte-order mark");
        }
    }
}
