// SPDX-License-Identifier: MIT OR Apache-2.0
//! The small patterns of `hints.txt`: globs over one line with words, digits and edges of words. They
//! take linear time in the line for each of their stars, which regular expressions would not promise.

/// Ends the last line or statement of a program, which is read once with this and once without.
pub(super) const END_OF_PROGRAM: u8 = 3;

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

/// Which two bytes stand beside each other in a text.
pub(super) struct Pairs(Vec<u64>);

impl Pairs {
    pub(super) fn of(text: &str) -> Pairs {
        let mut bits = vec![0; 1024];
        for pair in text.as_bytes().windows(2) {
            let (word, bit) = place(pair[0], pair[1]);
            bits[word] |= bit;
        }
        Pairs(bits)
    }

    fn has(&self, first: u8, second: u8) -> bool {
        let (word, bit) = place(first, second);
        self.0[word] & bit != 0
    }
}

fn place(first: u8, second: u8) -> (usize, u64) {
    let pair = usize::from(first) << 8 | usize::from(second);
    (pair / 64, 1 << (pair % 64))
}

#[derive(Debug)]
pub(super) struct Pattern {
    steps: Vec<Step>,
    /// The longest text that a matching line has in it.
    literal: String,
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
                    Some(b'e') => Step::Byte(END_OF_PROGRAM),
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
        // Characters beyond ASCII are whole: only a wild card or an escape can end a run, and both are ASCII.
        let literal = String::from_utf8(literal).unwrap_or_default();
        Pattern { steps, literal }
    }

    /// Whether some line of a text with these pairs may match: a quick check that avoids the slow one for most patterns.
    pub(super) fn may_match(&self, pairs: &Pairs, text: &str) -> bool {
        self.literal.as_bytes().windows(2).all(|pair| pairs.has(pair[0], pair[1]))
            && text.contains(&self.literal)
    }

    /// Whether the whole line matches.
    pub(super) fn matches(&self, line: &str) -> bool {
        let bytes = line.as_bytes();
        match self.steps.first() {
            Some(Step::Byte(first)) if bytes.first() != Some(first) => false,
            _ => line.contains(&self.literal) && self.matches_slowly(bytes),
        }
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
