// SPDX-License-Identifier: MIT OR Apache-2.0
//! Detects the language of a program by its shebang, else by a vote of the hints in `hints.txt` over its lines. If the
//! vote is not clear, the error names the candidates.

mod pattern;
mod shebang;

use crate::error::Error;
use crate::language::{Language, find_language};
use pattern::Pattern;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How much of a program is read: the beginning is enough, and the time is limited.
const LOOKED_AT_BYTES: usize = 16 * 1024;
const LOOKED_AT_LINE_BYTES: usize = 200;
/// A language needs this many points, and this many more than the next one.
const POINTS_NEEDED: i32 = 4;
const LEAD_NEEDED: i32 = 1;
const CANDIDATES_NAMED: usize = 4;

/// One line of `hints.txt`.
struct Hint {
    languages: &'static str,
    any_case: bool,
    points: i32,
    pattern: Pattern,
}

static HINTS: LazyLock<Vec<Hint>> = LazyLock::new(|| parse_hints(include_str!("hints.txt")));

/// The language of `code`, or ARGUMENT that names the candidates.
pub fn detect(code: &str) -> Result<&'static Language, Error> {
    if let Some(language) = shebang::of(code) {
        return Ok(language);
    }
    let ranking = rank(code);
    let points = |place: usize| ranking.get(place).map_or(0, |(points, _)| *points);
    if points(0) >= POINTS_NEEDED && points(0) - points(1) >= LEAD_NEEDED {
        return Ok(ranking[0].1);
    }
    let candidates: Vec<&str> =
        ranking.iter().take(CANDIDATES_NAMED).map(|(_, language)| language.name).collect();
    let found = match candidates.len() {
        0 => "no language matches".to_string(),
        1 => format!("it may be {}", candidates[0]),
        _ => format!("it may be {}", candidates.join(", ")),
    };
    Err(Error::argument(format!(
        "the language could not be detected: {found}; begin the code with a shebang line such as \
         \"#!/usr/bin/env python3\", or call execute with a language"
    )))
}

/// The languages that hints speak for, with their points, best first.
fn rank(code: &str) -> Vec<(i32, &'static Language)> {
    let code = head(code.strip_prefix('\u{feff}').unwrap_or(code), LOOKED_AT_BYTES);
    let lines: Vec<&str> = code
        .lines()
        .map(|line| head(line.trim(), LOOKED_AT_LINE_BYTES))
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join("\n");
    let lower_text = text.to_ascii_lowercase();
    let lower: Vec<&str> = lower_text.lines().collect();
    let mut points: BTreeMap<&'static str, i32> = BTreeMap::new();
    for hint in HINTS.iter() {
        let (text, lines) = if hint.any_case { (&lower_text, &lower) } else { (&text, &lines) };
        if hint.pattern.may_match(text) && lines.iter().any(|line| hint.pattern.matches(line)) {
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
    fn what_is_unclear_is_refused_with_its_candidates() {
        for code in ["", "\u{feff}", "42", "hello", "\0\0\0"] {
            let error = detect(code).unwrap_err();
            assert_eq!(error.code(), crate::error::ErrorCode::Argument);
        }
        let error = detect("typedef struct point point;\n").unwrap_err();
        assert!(error.message().contains("may be c, cpp, objc"), "{error}");
        assert!(error.message().contains("shebang"), "{error}");
    }
}
