// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program in a fence of three or more back-quotes or tildes, as it is copied from a chat or a page: with the word
//! after the fence, and with or without prose around it.

use crate::language::{Language, find_language, language_of_extension};
use std::borrow::Cow;

/// Words after a fence that are neither a name or an alias of a language nor the extension of its files.
const WORDS: &[(&str, &str)] = &[
    ("console", "bash"),
    ("shell-session", "bash"),
    ("ipython", "python"),
    ("postgresql", "sqlite"),
    ("mysql", "sqlite"),
];

/// A program without the fence around it.
#[derive(Debug, PartialEq)]
pub(super) struct Fenced<'a> {
    /// The word after the fence, as it is written; it may be empty.
    pub(super) word: &'a str,
    pub(super) inner: Cow<'a, str>,
    /// What is before and after the fence.
    pub(super) around: (&'a str, &'a str),
    /// Whether there is another fence after it.
    pub(super) more: bool,
}

impl Fenced<'_> {
    /// The language that the word names; `None` if it names none, as "text".
    pub(super) fn language(&self) -> Option<&'static Language> {
        let word = self.word;
        let known = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        find_language(known.map_or(word, |(_, language)| language))
            .or_else(|| language_of_extension(word))
    }
}

/// The line that opens or closes a fence: its mark, and what follows.
struct Mark<'a> {
    sign: u8,
    length: usize,
    indent: usize,
    rest: &'a str,
}

fn mark(line: &str) -> Option<Mark<'_>> {
    let text = line.trim_ascii_start();
    let sign = *text.as_bytes().first().filter(|byte| matches!(byte, b'`' | b'~'))?;
    let length = text.bytes().take_while(|byte| *byte == sign).count();
    let indent = line.len() - text.len();
    (length >= 3).then(|| Mark { sign, length, indent, rest: text[length..].trim_ascii() })
}

/// The first fence in `code`, if there is one.
pub(super) fn find(code: &str) -> Option<Fenced<'_>> {
    // Most programs have none, and are not read line by line.
    if !code.contains("```") && !code.contains("~~~") {
        return None;
    }
    let code = code.strip_prefix('\u{feff}').unwrap_or(code);
    let any: &dyn Fn(&Mark<'_>) -> bool = &|_| true;
    let (start, open, after) = next_mark(code, 0, any)?;
    let (word, inner, rest) = match one_line(&open) {
        Some((word, inner)) => (word, Cow::Borrowed(inner), after),
        None => {
            let closes = |mark: &Mark<'_>| {
                mark.sign == open.sign && mark.length >= open.length && mark.rest.is_empty()
            };
            let (end, rest) = match next_mark(code, after, &closes) {
                Some((end, _, rest)) => (end, rest),
                None => (code.len(), code.len()),
            };
            (word_of(open.rest), without_indent(&code[after..end], open.indent), rest)
        }
    };
    let more = next_mark(code, rest, any).is_some();
    Some(Fenced { word, inner, around: (&code[..start], &code[rest..]), more })
}

/// The next line from `from` that is a mark which is `wanted`: where it starts, the mark, and where the line after
/// it starts.
#[inline(never)]
fn next_mark<'a>(
    code: &'a str,
    from: usize,
    wanted: &dyn Fn(&Mark<'_>) -> bool,
) -> Option<(usize, Mark<'a>, usize)> {
    let mut start = from;
    for line in code[from..].split_inclusive('\n') {
        let end = start + line.len();
        if let Some(mark) = mark(line).filter(|mark| wanted(mark)) {
            return Some((start, mark, end));
        }
        start = end;
    }
    None
}

/// Word and program of a fence that opens and closes on one line.
fn one_line<'a>(open: &Mark<'a>) -> Option<(&'a str, &'a str)> {
    let inner = open.rest.strip_suffix("```").filter(|_| open.sign == b'`')?;
    match inner.split_once(' ') {
        Some((word, code)) if find_language(word).is_some() => Some((word, code)),
        _ => Some(("", inner)),
    }
}

/// The language's word in what follows a fence: `python title="x"`, `{python}`, `{.python .numbered}`, `js{1,3}`,
/// `python:main.py`.
fn word_of(rest: &str) -> &str {
    let rest = rest.strip_prefix('{').unwrap_or(rest).trim_ascii_start();
    let rest = match find_language(rest) {
        Some(_) => rest,
        None => rest.strip_prefix('.').unwrap_or(rest),
    };
    let ends = |byte: u8| byte.is_ascii_whitespace() || b"{},:;=".contains(&byte);
    &rest[..rest.bytes().position(ends).unwrap_or(rest.len())]
}

/// `text` without the indentation that its fence has, as in a list.
fn without_indent(text: &str, indent: usize) -> Cow<'_, str> {
    if indent == 0 {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let blank = line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        out.push_str(&line[blank.min(indent)..]);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_program_is_what_stands_in_the_fence() {
        for (code, word, inner) in [
            ("```python\nx\n```", "python", "x\n"),
            ("```\nx\ny\n```\n", "", "x\ny\n"),
            ("\n\n```js\r\nx\r\n```\r\n", "js", "x\r\n"),
            ("``` c++ \nx\n", "c++", "x\n"),
            ("````md\n```\n````", "md", "```\n"),
            ("~~~ruby\n```\n~~~", "ruby", "```\n"),
            ("```{python}\nx\n```", "python", "x\n"),
            ("```{.python .numbered}\nx\n```", "python", "x\n"),
            ("```.net\nx\n```", ".net", "x\n"),
            ("```js{1,3} title=\"a\"\nx\n```", "js", "x\n"),
            ("```python:main.py\nx\n```", "python", "x\n"),
            ("  ```python\n  if x:\n    y\n  ```", "python", "if x:\n  y\n"),
            ("Text:\n```sh\nls\n```\nmore", "sh", "ls\n"),
            ("```python print(1)```", "python", "print(1)"),
            ("```print(1)```", "", "print(1)"),
        ] {
            let fenced = find(code).unwrap();
            assert_eq!((fenced.word, &*fenced.inner), (word, inner), "{code:?}");
            assert!(!fenced.more, "{code:?}");
        }
        for code in ["", "print(1)", "x = '```'", "`x`", "``\n``"] {
            assert_eq!(find(code), None, "{code:?}");
        }
        assert!(find("```sh\nls\n```\nand\n```sh\npwd\n```").unwrap().more);
    }
}
