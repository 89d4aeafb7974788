// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statements of a line, so that a program on one line has the hints of the same program on several.

/// Words that begin a block, and stand alone on a line in a program of several lines.
const OPENERS: &[&str] = &["do", "then", "else", "begin"];

/// Adds the statements of `line`, each with its `;`, and what is between braces; nothing if there is but one.
pub(super) fn add<'a>(line: &'a str, statements: &mut Vec<&'a str>) {
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
            (None, b';' | b'{' | b'}') => {
                let end = at + usize::from(*byte != b'}');
                add_part(&line[start..end], line.len(), statements);
                start = at + 1;
            }
            _ => {}
        }
    }
    add_part(&line[start..], line.len(), statements);
}

#[inline(never)]
fn add_part<'a>(part: &'a str, whole: usize, statements: &mut Vec<&'a str>) {
    let part = part.trim_ascii();
    if matches!(part, "" | ";" | "{") {
        return;
    }
    match OPENERS.iter().find_map(|word| part.strip_prefix(word)?.strip_prefix(' ')) {
        Some(rest) => {
            statements.push(&part[..part.len() - rest.len() - 1]);
            statements.push(rest);
        }
        None if part.len() < whole => statements.push(part),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::add;

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
            let mut found = Vec::new();
            add(line, &mut found);
            assert_eq!(found, statements, "{line:?}");
        }
    }
}
