// SPDX-License-Identifier: MIT OR Apache-2.0
//! The small patterns of `hints.txt`: globs over one line with words, digits and edges of words. They
//! take linear time in the line for each of their stars, which regular expressions would not promise.

/// One step of a pattern.
#[derive(Debug, PartialEq)]
enum Step {
    Byte(u8),
    /// `*`: any characters.
    Any,
    /// `\w`: one or more letters, digits or underscores, as many as there are.
    Word,
    /// `\d`: one or more digits, as many as there are.
    Digits,
    /// `\b`: between a word and something else.
    Edge,
}

#[derive(Debug)]
pub(super) struct Pattern {
    steps: Vec<Step>,
    /// The longest text that a matching line has in it.
    literal: Vec<u8>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        let mut steps = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            steps.push(match byte {
                b'*' => Step::Any,
                b'\\' => match bytes.next() {
                    Some(b'w') => Step::Word,
                    Some(b'd') => Step::Digits,
                    Some(b'b') => Step::Edge,
                    Some(other) => Step::Byte(other),
                    None => Step::Byte(b'\\'),
                },
                other => Step::Byte(other),
            });
        }
        let literal = steps
            .split(|step| !matches!(step, Step::Byte(_)))
            .max_by_key(|run| run.len())
            .unwrap_or_default()
            .iter()
            .filter_map(|step| if let Step::Byte(byte) = step { Some(*byte) } else { None })
            .collect();
        Pattern { steps, literal }
    }

    /// Whether some line of `text` may match: a quick check that avoids the slow one for most patterns.
    pub(super) fn may_match(&self, text: &str) -> bool {
        std::str::from_utf8(&self.literal).is_ok_and(|literal| text.contains(literal))
    }

    /// Whether the whole line matches.
    pub(super) fn matches(&self, line: &str) -> bool {
        self.may_match(line) && self.matches_slowly(line.as_bytes())
    }

    /// After a mismatch only the last star takes more of the line: more for an earlier star would only repeat matches that
    /// the later star tries.
    fn matches_slowly(&self, line: &[u8]) -> bool {
        let steps = &self.steps;
        let (mut step, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            if step == steps.len() && at == line.len() {
                return true;
            }
            let taken = steps.get(step).and_then(|s| take(s, line, at));
            match (steps.get(step), taken) {
                (Some(Step::Any), _) => {
                    step += 1;
                    // A star at the end takes all that is left.
                    if step == steps.len() {
                        return true;
                    }
                    star = Some((step, at));
                }
                (_, Some(length)) => {
                    step += 1;
                    at += length;
                }
                _ => match star {
                    Some((after, from)) if from < line.len() => {
                        star = Some((after, from + 1));
                        (step, at) = (after, from + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// How many bytes of the line at `at` the step takes; `None` where it does not match.
fn take(step: &Step, line: &[u8], at: usize) -> Option<usize> {
    let rest = &line[at..];
    let run = |wanted: fn(u8) -> bool| {
        let length = rest.iter().take_while(|byte| wanted(**byte)).count();
        (length > 0).then_some(length)
    };
    match step {
        Step::Byte(byte) => (rest.first() == Some(byte)).then_some(1),
        Step::Word => run(is_word),
        Step::Digits => run(|byte| byte.is_ascii_digit()),
        Step::Edge => {
            let before = at > 0 && is_word(line[at - 1]);
            let after = rest.first().is_some_and(|byte| is_word(*byte));
            (before != after).then_some(0)
        }
        Step::Any => None,
    }
}

/// Letters beyond ASCII count as letters: every byte of theirs has its highest bit set.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_match_whole_lines() {
        for (pattern, line, expected) in [
            (r"def \w(*):", "def greet(name):", true),
            (r"def \w(*):", "def greet(name) {", false),
            (r"*println!(*", "    std::println!(\"x\")", true),
            (r"end", "end", true),
            (r"end", "ending", false),
            (r"*\bNF\b*", "for (i = 1; i <= NF; i++)", true),
            (r"*\bNF\b*", "CONFIG", false),
            (r"print \*,*", "print *, 'x'", true),
            (r"print \*,*", "print(x, y)", false),
            (r"do \d \w = *", "do 10 i = 1, 5", true),
            (r"*a*b*c", "xxaxxbxbxc", true),
            (r"*a*b*c", "xxaxxbxbxcd", false),
            (r"*", "", true),
            (r"", "", true),
            (r"\w", "größe", true),
        ] {
            let matched = Pattern::new(pattern).matches(line);
            assert_eq!(matched, expected, "{pattern:?} on {line:?}");
        }
    }
}
