// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes text safe to print. Text of a server, a program or a file name may contain control sequences for a terminal
//! (cursor, title, clipboard), marks that change the direction of a line, and line ends that forge a second log line.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether this character has an effect on a terminal or a reader of lines.
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control() // C0, DEL and C1
        || matches!(c, '\u{2028}' | '\u{2029}') // separators of lines and paragraphs
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in one line: `\n`, `\r` and `\t` for these three, `\u{1b}` for any other control character, mark of
/// direction, or separator of lines.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, |out, c| out.extend(c.escape_default()))
}

/// As [`printable`], of a text of several lines: its line ends stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let wanted = |c| c != '\n' && is_obeyed(c);
    escaped(text, wanted, |out, c| out.extend(c.escape_default()))
}

/// A JSON document that means the same: only strings hold such characters, and there they are `\u001b`. The
/// line ends between its values stay.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let wanted = |c| !matches!(c, '\n' | '\r' | '\t') && is_obeyed(c);
    escaped(json, wanted, |out, c| {
        // Each of them fits into the sixteen bits of one escape.
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    })
}

fn escaped(
    text: &str,
    wanted: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(&wanted) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match wanted(c) {
            true => escape(&mut out, c),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character of the kinds that are escaped, by its number.
    fn obeyed() -> impl Iterator<Item = char> {
        let numbers = (0..0x20).chain(0x7f..0xa0).chain([0x61c, 0x200e, 0x200f, 0x2028, 0x2029]);
        numbers.chain(0x202a..0x202f).chain(0x2066..0x206a).filter_map(char::from_u32)
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_the_rest_stays() {
        assert_eq!(printable("a\u{1b}]0;x\u{7}\r\nb"), "a\\u{1b}]0;x\\u{7}\\r\\nb");
        assert_eq!(printable("\u{9b}2J\u{7f}\u{202e}"), "\\u{9b}2J\\u{7f}\\u{202e}");
        for c in obeyed() {
            let text = format!("é{c}\u{1f600}");
            for shown in [printable(&text), printable_json(&text)] {
                assert!(c.is_ascii_whitespace() || !shown.contains(c), "{c:?}: {shown:?}");
                assert!(shown.starts_with('é') && shown.ends_with('\u{1f600}'), "{shown:?}");
            }
            assert!(!printable(&text).contains(c), "{c:?}");
        }
        for plain in ["", "plain \\ text", "é \u{a0} ü 漢字 \u{1f468}\u{200d}\u{1f469}"] {
            assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn several_lines_stay_lines() {
        assert_eq!(printable_lines("a\n\tb\u{1b}\r\n"), "a\n\\tb\\u{1b}\\r\n");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let text: String = obeyed().chain("\"\\ é\u{1f600}".chars()).collect();
        let json = serde_json::json!({ text.clone(): [text], "pretty": "x" });
        for json_text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let shown = printable_json(&json_text);
            let between_values = |c: char| c == '\n' && json_text.contains('\n');
            assert!(!shown.chars().any(|c| is_obeyed(c) && !between_values(c)), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
        }
    }
}
