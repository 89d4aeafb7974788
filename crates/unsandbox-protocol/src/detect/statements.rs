// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statements of a line, so that a program on one line has the hints of the same program on several.

/// Words that begin a block, and stand alone on a line in a program of several lines.
const OPENERS: &[&str] = &["do", "then", "else", "begin"];

/// The statements of `line`, each with its `;`, and what is between braces; empty if there is but one.
pub(super) fn of(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(sign), _) if *byte == sign => quote = None,
            (None, b'"' | b'\'') => {
                // A sign without its other one is an apostrophe or a lifetime.
                quote = bytes[at + 1..].contains(byte).then_some(*byte);
            }
            (None, b';' | b'{') => {
                parts.push(&line[start..=at]);
                start = at + 1;
            }
            (None, b'}') => {
                parts.push(&line[start..at]);
                start = at;
            }
            _ => {}
        }
    }
    parts.push(&line[start..]);
    let mut statements = Vec::new();
    for part in parts.into_iter().map(str::trim) {
        let part = part.strip_prefix('}').map_or(part, str::trim_start);
        match OPENERS.iter().find_map(|word| part.strip_prefix(word)?.strip_prefix(' ')) {
            Some(rest) => statements.extend([&part[..part.len() - rest.len() - 1], rest]),
            None if part.len() < line.len() => statements.push(part),
            None => {}
        }
    }
    statements.retain(|part| !matches!(*part, "" | ";" | "{"));
    statements
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn statements_end_at_semicolons_and_braces_outside_of_strings() {
        for (line, statements) in [
            ("print(1)", vec![]),
            ("use strict; my $x = 1;", vec!["use strict;", "my $x = 1;"]),
            ("for i in 1 2; do echo $i; done", vec!["for i in 1 2;", "do", "echo $i;", "done"]),
            ("begin writeln(1); end.", vec!["begin", "writeln(1);", "end."]),
            ("fn main() { f(\"a;{b}\"); }", vec!["fn main() {", "f(\"a;{b}\");"]),
            ("a('; x'); b", vec!["a('; x');", "b"]),
            ("it's; b", vec!["it's;", "b"]),
        ] {
            assert_eq!(of(line), statements, "{line:?}");
        }
    }
}
