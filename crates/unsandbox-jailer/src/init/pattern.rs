// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patterns of paths: `*` stands for any characters of a name, `?` for one, `[a-z]` for one of a set, `[!a-z]` for one
//! that is not in the set, `**` for any number of folders. A name that begins with a dot is hidden: only a part that
//! begins with a dot matches it; `__pycache__` is matched by its own name alone. A last part without such characters
//! stands for a folder with the files in it, too.
//!
//! Patterns come from users and names from programs: to match a path takes at most the product of their lengths, for each
//! of its folders.

/// A pattern, split once.
pub struct Pattern {
    parts: Vec<Part>,
    /// Whether it stands for the files below a path that it matches, too.
    whole_folder: bool,
}

enum Part {
    Folders,
    Name(Vec<Token>),
}

enum Token {
    Any,
    One,
    Char(char),
    Set { ranges: Vec<(char, char)>, is_negated: bool },
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let names = text.split('/').filter(|name| !name.is_empty() && *name != ".");
        let mut parts: Vec<Part> = names
            .map(|name| if name == "**" { Part::Folders } else { Part::Name(tokens(name)) })
            .collect();
        if let Some(Part::Folders) = parts.last() {
            parts.push(Part::Name(vec![Token::Any]));
        }
        let is_plain = |part: &Part| match part {
            Part::Folders => false,
            Part::Name(tokens) => tokens.iter().all(|token| matches!(token, Token::Char(_))),
        };
        let whole_folder = parts.last().is_none_or(is_plain);
        Pattern { parts, whole_folder }
    }

    /// Whether the pattern stands for the file at this path, given by its names.
    pub fn matches(&self, path: &[Vec<char>]) -> bool {
        let shortest = if self.whole_folder { 0 } else { path.len() };
        let is_shown = |len: usize| !path[len..].iter().any(|name| is_hidden(name));
        (shortest..=path.len()).any(|len| is_shown(len) && self.matches_whole(&path[..len]))
    }

    fn matches_whole(&self, path: &[Vec<char>]) -> bool {
        let fits = |part: &Part, name: &Vec<char>| match part {
            Part::Folders => false,
            Part::Name(tokens) => name_matches(tokens, name),
        };
        let is_star = |part: &Part| matches!(part, Part::Folders);
        stars_match(&self.parts, path, is_star, |name| !is_hidden(name), fits)
    }
}

/// Whether a name is not matched by `*` and its like.
pub fn is_hidden(name: &[char]) -> bool {
    name.first() == Some(&'.') || name.iter().copied().eq("__pycache__".chars())
}

fn name_matches(tokens: &[Token], name: &[char]) -> bool {
    let is_spelled = match name.first() {
        Some('.') => matches!(tokens.first(), Some(Token::Char('.'))),
        _ => tokens.iter().all(|token| matches!(token, Token::Char(_))),
    };
    if is_hidden(name) && !is_spelled {
        return false;
    }
    let is_star = |token: &Token| matches!(token, Token::Any);
    stars_match(tokens, name, is_star, |_| true, fits)
}

fn fits(token: &Token, found: &char) -> bool {
    match token {
        Token::Any => false,
        Token::One => true,
        Token::Char(wanted) => wanted == found,
        Token::Set { ranges, is_negated } => {
            ranges.iter().any(|(first, last)| (first..=last).contains(&found)) != *is_negated
        }
    }
}

/// Matches items with a pattern in which a star stands for any number of items that it may take. Only the last star that
/// was met ever has to take more.
fn stars_match<P, T>(
    pattern: &[P],
    items: &[T],
    is_star: impl Fn(&P) -> bool,
    star_takes: impl Fn(&T) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut item) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while item < items.len() {
        match pattern.get(at) {
            Some(part) if is_star(part) => {
                last_star = Some((at, item));
                at += 1;
            }
            Some(part) if fits(part, &items[item]) => {
                at += 1;
                item += 1;
            }
            _ => match last_star {
                Some((star, taken)) if star_takes(&items[taken]) => {
                    last_star = Some((star, taken + 1));
                    (at, item) = (star + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[at..].iter().all(is_star)
}

/// A `[` without its `]` stands for itself.
fn tokens(name: &str) -> Vec<Token> {
    let chars: Vec<char> = name.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let (token, len) = match chars[at] {
            '*' => (Token::Any, 1),
            '?' => (Token::One, 1),
            '[' => set(&chars[at..]).unwrap_or((Token::Char('['), 1)),
            other => (Token::Char(other), 1),
        };
        tokens.push(token);
        at += len;
    }
    tokens
}

/// The set at the beginning of the text, and how many characters it has there.
fn set(chars: &[char]) -> Option<(Token, usize)> {
    let is_negated = matches!(chars.get(1), Some('!' | '^'));
    let begin = if is_negated { 2 } else { 1 };
    // A `]` right at the beginning is one of the set.
    let end = (begin + 1..chars.len()).find(|at| chars[*at] == ']')?;
    let inside = &chars[begin..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inside.len() {
        match inside.get(at..at + 3) {
            Some([first, '-', last]) => {
                ranges.push((*first, *last));
                at += 3;
            }
            _ => {
                ranges.push((inside[at], inside[at]));
                at += 1;
            }
        }
    }
    Some((Token::Set { ranges, is_negated }, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn matches(pattern: &str, path: &str) -> bool {
        let names: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
        Pattern::new(pattern).matches(&names)
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path) in [
            ("*.png", "plot.png"),
            ("./*.png", "plot.png"),
            ("plot?.png", "plotä.png"),
            ("**", "a/b/c"),
            ("**/*.png", "plot.png"),
            ("**/*.png", "a/b/plot.png"),
            ("out/**", "out/a"),
            ("out/**", "out/a/b.txt"),
            ("out/**/x", "out/x"),
            ("a/**/b/**/c", "a/1/b/b/2/c"),
            ("out", "out/a/b.txt"),
            ("out/", "out/a"),
            ("a/**/b", "a/b/c"),
            (".", "a/b"),
            ("plot[0-9].png", "plot7.png"),
            ("plot[!0-9].png", "plotx.png"),
            ("[]x]", "]"),
            ("a[", "a["),
            (".*", ".hidden"),
            (".cache/*", ".cache/x"),
            ("__pycache__/*", "__pycache__/x.pyc"),
            ("out/.git", "out/.git/x"),
            ("*a*b*c", "xxaxbbxc"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.png", "a/plot.png"),
            ("*.png", "plot.png.bak"),
            ("*", ".hidden"),
            ("?hidden", ".hidden"),
            ("[.]hidden", ".hidden"),
            ("**", ".cache/x"),
            ("**/x", "a/.b/x"),
            ("**", "__pycache__/x.pyc"),
            (".", ".hidden"),
            ("out/*", "out/a/b"),
            ("out", "output"),
            ("out", "out/.git/x"),
            ("out", "out/__pycache__/x.pyc"),
            ("out/**", "out"),
            ("__*/x", "__pycache__/x"),
            ("*t", "out/a"),
            ("plot[0-9].png", "plot.png"),
            ("*a*b*c", "xxaxbbx"),
            ("a/**/b*", "a/b/c"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let begin = Instant::now();
        let name = "a".repeat(255);
        assert!(!matches(&format!("{}b", "*a".repeat(2000)), &name));
        let path = vec![name.as_str(); 16].join("/");
        assert!(!matches(&format!("{}b", "**/*a*/".repeat(500)), &path));
        // Backtracking would take longer than anybody could wait.
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
