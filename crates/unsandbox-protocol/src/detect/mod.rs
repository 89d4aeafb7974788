// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects the language of a program by the word of a fence around it, its shebang, else by a vote of the hints in
//! `hints.txt` over its lines. If the vote is not clear, the error names the candidates.

mod fence;
mod pattern;
mod shebang;
mod statements;

use crate::error::Error;
use crate::language::{Language, find_language};
use pattern::{Pairs, Pattern};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How much of a program is read: the beginning is enough, and the time is limited.
const LOOKED_AT_BYTES: usize = 16 * 1024;
const LOOKED_AT_LINE_BYTES: usize = 200;
/// A language needs this many points, and this many more than the next one.
const POINTS_NEEDED: i32 = 3;
const LEAD_NEEDED: i32 = 1;
const CANDIDATES_NAMED: usize = 4;
/// In a program of at most so many lines, each statement of a line counts as a line too.
const SHORT_LINES: usize = 8;

/// One line of `hints.txt`.
struct Hint {
    languages: &'static str,
    any_case: bool,
    points: i32,
    pattern: Pattern,
}

static HINTS: LazyLock<Vec<Hint>> =
    LazyLock::new(|| parse_hints(include_str!(concat!(env!("OUT_DIR"), "/hints.txt"))));

/// A program without the fence around it, and the language that the fence names.
pub(crate) type Unfenced<'a> = (Cow<'a, str>, Option<&'static Language>);

/// The program in the fence of `code`, if there is one, as in a chat; ARGUMENT if there are several.
pub(crate) fn unfence(code: &str) -> Result<Option<Unfenced<'_>>, Error> {
    let Some(fenced) = fence::find(code) else { return Ok(None) };
    let (before, after) = fenced.around;
    // A fence in a comment or a string of a program is part of it: there are hints around it, as prose has not.
    let is_program = || {
        let around = format!("{before}\n{after}");
        let best = rank(&around).first().map_or(0, |(points, _)| *points);
        shebang::of(before).is_some() || best >= POINTS_NEEDED
    };
    if !before.trim().is_empty() && is_program() {
        return Ok(None);
    }
    if fenced.more {
        return Err(Error::argument(
            "the code has more than one program in a fence (```); send one of them",
        ));
    }
    let language = fenced.language();
    Ok(Some((fenced.inner, language)))
}

/// The language of `code`, which may be in a fence; ARGUMENT that names the candidates if it is not clear.
pub fn detect(code: &str) -> Result<&'static Language, Error> {
    match unfence(code)? {
        Some((_, Some(language))) => Ok(language),
        Some((inner, None)) => detect_unfenced(&inner),
        None => detect_unfenced(code),
    }
}

/// As [`detect`], for a program that is not in a fence.
pub(crate) fn detect_unfenced(code: &str) -> Result<&'static Language, Error> {
    if let Some(language) = shebang::of(code) {
        return Ok(language);
    }
    let ranking = rank(code);
    if is_clear(&ranking) {
        return Ok(ranking[0].1);
    }
    let candidates: Vec<&str> =
        ranking.iter().take(CANDIDATES_NAMED).map(|(_, language)| language.name).collect();
    let found = match candidates.len() {
        0 => "no language matches".to_string(),
        _ => format!("it may be {}", candidates.join(", ")),
    };
    Err(Error::argument(format!(
        "the language could not be detected: {found}; begin the code with a shebang line such as \
         \"#!/usr/bin/env python3\", or call execute with a language"
    )))
}

/// Whether the first language of a ranking is to be taken: it is the only one, or leads.
fn is_clear(ranking: &[(i32, &'static Language)]) -> bool {
    match ranking {
        [] => false,
        [_] => true,
        [(first, _), (second, _), ..] => *first >= POINTS_NEEDED && first - second >= LEAD_NEEDED,
    }
}

/// The languages that hints speak for, with their points, best first.
fn rank(code: &str) -> Vec<(i32, &'static Language)> {
    let code = head(code.strip_prefix('\u{feff}').unwrap_or(code), LOOKED_AT_BYTES);
    let mut lines: Vec<&str> = code
        .lines()
        .map(|line| head(line.trim(), LOOKED_AT_LINE_BYTES))
        .filter(|line| !line.is_empty())
        .collect();
    if lines.len() <= SHORT_LINES {
        for place in 0..lines.len() {
            statements::add(lines[place], &mut lines);
        }
    }
    let last = lines.last().copied().unwrap_or_default();
    let text = format!("{}\n{last}{}", lines.join("\n"), char::from(pattern::END_OF_PROGRAM));
    let lines: Vec<&str> = text.lines().collect();
    let lower_text = text.to_ascii_lowercase();
    let lower: Vec<&str> = lower_text.lines().collect();
    let (pairs, lower_pairs) = (Pairs::of(&text), Pairs::of(&lower_text));
    let mut points: BTreeMap<&'static str, i32> = BTreeMap::new();
    for hint in HINTS.iter() {
        let (pairs, text, lines) = match hint.any_case {
            true => (&lower_pairs, &lower_text, &lower),
            false => (&pairs, &text, &lines),
        };
        if hint.pattern.may_match(pairs, text)
            && lines.iter().any(|line| hint.pattern.matches(line))
        {
            for name in hint.languages.split(' ') {
                *points.entry(name).or_default() += hint.points;
            }
        }
    }
    let mut ranking: Vec<(i32, &'static Language)> = points
        .into_iter()
        .filter(|(_, points)| *points > 1)
        .filter_map(|(name, points)| Some((points, find_language(name)?)))
        .collect();
    ranking.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
    ranking
}

/// At most `max` bytes from the start of `text`, whole characters.
fn head(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Reads hints; malformed lines are skipped here, and refused by the test below.
fn parse_hints(text: &'static str) -> Vec<Hint> {
    let mut hints = Vec::new();
    let (mut languages, mut any_case) = ("", false);
    for line in text.lines() {
        if let Some(names) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            any_case = names.starts_with('~');
            languages = names.trim_start_matches('~');
        } else if let Some((points, pattern)) = parse_hint(line) {
            hints.push(Hint { languages, any_case, points, pattern: Pattern::new(pattern) });
        }
    }
    hints
}

fn parse_hint(line: &'static str) -> Option<(i32, &'static str)> {
    let (points, pattern) = line.split_once(' ')?;
    Some((points.parse().ok()?, pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_hints_is_understood() {
        for line in include_str!("hints.txt").lines() {
            let header = line.starts_with('[') && line.ends_with(']');
            let blank = line.is_empty() || line.starts_with(';');
            assert!(header || blank || parse_hint(line).is_some(), "{line:?}");
        }
        for hint in HINTS.iter() {
            for name in hint.languages.split(' ') {
                assert!(find_language(name).is_some_and(|l| l.name == name), "{name:?}");
            }
        }
    }

    #[test]
    fn the_examples_of_the_specification_are_told() {
        assert_eq!(detect("(println \"Hello from unsandbox!\")").unwrap().name, "clojure");
        assert_eq!(detect(".\" Hello from unsandbox!\" CR").unwrap().name, "forth");
    }

    #[test]
    fn a_fence_in_a_program_is_part_of_it() {
        let program = "import sys\n\ndef f():\n    \"\"\"Use it so:\n\n```sh\nls\n```\n\"\"\"\n\nprint(f())\n";
        assert!(unfence(program).unwrap().is_none());
        assert_eq!(detect(program).unwrap().name, "python");
        let script = "#!/bin/sh\ncat <<END\n```ruby\nputs 1\n```\nEND\n";
        assert_eq!(detect(script).unwrap().name, "bash");
    }

    #[test]
    fn what_is_unclear_is_refused_with_its_candidates() {
        for code in ["", "\u{feff}", "42", "hello", "\0\0\0"] {
            let error = detect(code).unwrap_err();
            assert_eq!(error.code(), crate::error::ErrorCode::Argument);
        }
        let error = detect("```sh\nls\n```\n```sh\npwd\n```").unwrap_err();
        assert!(error.message().contains("send one of them"), "{error}");
        let error = detect("typedef struct point point;\n").unwrap_err();
        assert!(error.message().contains("may be c, cpp, objc"), "{error}");
        assert!(error.message().contains("shebang"), "{error}");
    }
}
