// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits source text into tokens, so that nobody takes the words of a comment or a string for code. It knows no
//! grammar: a [`Syntax`] says what comments and strings of a language look like. Texts come from anybody: the time for
//! one grows with its length, whatever is in it.

use std::cell::Cell;

/// What comments and strings of a language look like.
pub(super) struct Syntax {
    pub line_comments: &'static [&'static str],
    /// Open, close, and whether they nest.
    pub block_comments: &'static [(&'static str, &'static str, bool)],
    /// Tried in this order.
    pub strings: &'static [Quote],
    /// Whether `'x'` is a character, and a lone `'` (of a lifetime, a type variable, a symbol) is not.
    pub characters: bool,
    /// Characters of words beside letters, digits and `_`.
    pub word: &'static str,
    /// Whether a line that begins with `#` is a directive.
    pub directives: bool,
    /// Whether `/` may begin a regular expression.
    pub regex: bool,
    /// Strings that name their own end, tried before the others.
    pub named: fn(&str) -> Option<Named>,
}

/// A language like C, for the others to differ from.
pub(super) const LIKE_C: Syntax = Syntax {
    line_comments: &["//"],
    block_comments: &[("/*", "*/", false)],
    strings: &[Quote::line("\"")],
    characters: true,
    word: "",
    directives: false,
    regex: false,
    named: |_| None,
};

/// A string whose beginning says how it ends: `R"xy(…)xy"`, a here-document.
pub(super) struct Named {
    /// The length of its beginning.
    pub open: usize,
    pub close: String,
    /// Whether the end is at the beginning of a line, which may be indented.
    pub on_line: bool,
}

impl Named {
    /// The length of all of it, or `None` where it does not end.
    fn len(&self, rest: &str) -> Option<usize> {
        let inner = rest.get(self.open..)?;
        let mut ends = inner.match_indices(&self.close);
        let begins = |at: usize| inner[..at].trim_end_matches([' ', '\t']).ends_with('\n');
        let (at, _) = ends.find(|(at, _)| !self.on_line || begins(*at))?;
        Some(self.open + at + self.close.len())
    }
}

/// A kind of string.
pub(super) struct Quote {
    pub open: &'static str,
    pub close: &'static str,
    /// Whether a backslash takes the next character.
    pub escapes: bool,
    /// Whether the closing quote is written twice inside.
    pub doubles: bool,
    pub many_lines: bool,
    /// What begins an expression inside, up to the next `}`.
    pub inserts: &'static str,
}

impl Quote {
    /// `"…"` with backslashes, on one line.
    pub const fn line(quote: &'static str) -> Quote {
        Quote {
            open: quote,
            close: quote,
            escapes: true,
            doubles: false,
            many_lines: false,
            inserts: "",
        }
    }

    /// Over many lines, without backslashes.
    pub const fn raw(open: &'static str, close: &'static str) -> Quote {
        Quote { open, close, escapes: false, doubles: false, many_lines: true, inserts: "" }
    }

    /// Over many lines, with backslashes.
    pub const fn block(quote: &'static str) -> Quote {
        Quote { many_lines: true, ..Quote::line(quote) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A name, a keyword or a number.
    Word,
    /// A string or a character, with its quotes.
    Text,
    /// One character of anything else, or the dashes of an operator.
    Sign,
    /// A line that begins with `#`, with the lines that a backslash joins to it.
    Directive,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Offset in the source.
    pub at: usize,
    /// How many brackets are open around it; a closing bracket has the depth of its opening one.
    pub depth: usize,
    pub begins_line: bool,
}

impl<'a> Token<'a> {
    pub fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Text
    }

    pub fn word(&self) -> Option<&'a str> {
        (self.kind == Kind::Word).then_some(self.text)
    }

    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// The content of a string.
    pub fn content(&self) -> Option<&'a str> {
        let quotes = |c: char| matches!(c, '"' | '\'' | '`');
        (self.kind == Kind::Text).then(|| self.text.trim_matches(quotes))
    }
}

/// How much of a file is read: time and memory are limited, since anybody may send a text.
const LOOKED_AT_BYTES: usize = 512 * 1024;
/// Expressions in strings in expressions, and so on.
const NESTING_MAX: usize = 16;
/// Quotes that are never closed: after so many, each is taken for a sign without a look at the rest of the text.
const UNCLOSED_MAX: usize = 16;
/// Slashes on one line that begin no regular expression: after so many, each is taken for a sign.
const NO_REGEX_MAX: usize = 16;
/// The longest regular expression.
const REGEX_MAX_BYTES: usize = 1_000;
/// How far before or behind a token others are looked for, where no bracket ends the search.
pub(super) const NEAR: usize = 200;
/// The longest list of parameters, in tokens.
const PARAMETERS_MAX: usize = 2_000;

/// The name of a string that names its end.
pub(super) fn word_at(rest: &str) -> Option<&str> {
    const NAME_MAX_BYTES: usize = 64;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let len = rest.bytes().take(NAME_MAX_BYTES).take_while(|byte| is_word(*byte as char)).count();
    (len > 0).then(|| &rest[..len])
}

/// Takes those off a stack, each with its depth, that this token, a closing bracket, closes.
pub(super) fn close<T>(open: &mut Vec<T>, token: &Token<'_>, depth: impl Fn(&T) -> usize) {
    while token.is("}") && open.last().is_some_and(|last| depth(last) >= token.depth) {
        open.pop();
    }
}

/// Whether an arrow, `=>`, ends here.
pub(super) fn is_arrow(tokens: &[Token<'_>], at: usize) -> bool {
    tokens[at].is(">") && at > 0 && tokens[at - 1].is("=")
}

/// Where the bracket begins that ends here, a list of parameters.
pub(super) fn opening(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let begin = (at + 1).saturating_sub(PARAMETERS_MAX);
    let is_opening = |token: &Token<'_>| token.is("(") && token.depth == tokens[at].depth;
    tokens[begin..at].iter().rposition(is_opening).map(|found| begin + found)
}

/// The part of a text that is read, and the rest of it.
pub(super) fn looked_at(text: &str) -> (&str, &str) {
    let mut end = text.len().min(LOOKED_AT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.split_at(end)
}

/// The words behind the part of a text that is read, those of comments and strings, too.
pub(super) fn words_behind(text: &str) -> impl Iterator<Item = &str> {
    looked_at(text).1.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The tokens of a text without its comments.
pub(super) fn scan<'a>(text: &'a str, syntax: &Syntax) -> Vec<Token<'a>> {
    let mut scanner = Scanner::new(looked_at(text).0, syntax);
    scanner.all();
    scanner.tokens
}

/// The expressions in a string, such as `x` in `"a${x}b"`.
pub(super) fn expressions<'a>(text: &'a str, inserts: &str, syntax: &Syntax) -> Vec<&'a str> {
    let scanner = Scanner::new(text, syntax);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(place) = text[at..].find(inserts) {
        let begin = at + place + inserts.len();
        let Some(end) = scanner.insert_end(begin, 0) else { break };
        found.push(&text[begin..end - 1]);
        at = end;
    }
    found
}

struct Scanner<'a, 's> {
    text: &'a str,
    syntax: &'s Syntax,
    at: usize,
    depth: usize,
    tokens: Vec<Token<'a>>,
    unclosed: Cell<usize>,
    /// Slashes on this line that begin no regular expression.
    no_regex: usize,
}

impl<'a, 's> Scanner<'a, 's> {
    fn new(text: &'a str, syntax: &'s Syntax) -> Scanner<'a, 's> {
        let unclosed = Cell::new(0);
        Scanner { text, syntax, at: 0, depth: 0, tokens: Vec::new(), unclosed, no_regex: 0 }
    }

    fn all(&mut self) {
        let mut begins_line = true;
        while let Some(c) = self.rest().chars().next() {
            // A mark of the byte order is not a part of the text.
            if c == '\u{feff}' || c.is_whitespace() {
                begins_line |= c == '\n';
                self.at += c.len_utf8();
                continue;
            }
            if let Some(end) = self.comment_at(self.at) {
                begins_line |= self.text[self.at..end].contains('\n');
                self.at = end;
                continue;
            }
            let (kind, end) = self.token_at(c, begins_line);
            self.push(kind, end, begins_line);
            begins_line = false;
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, end: usize, begins_line: bool) {
        let text = &self.text[self.at..end];
        let closes = kind == Kind::Sign && matches!(text, ")" | "]" | "}");
        self.depth -= usize::from(closes && self.depth > 0);
        self.tokens.push(Token { kind, text, at: self.at, depth: self.depth, begins_line });
        self.depth += usize::from(kind == Kind::Sign && matches!(text, "(" | "[" | "{"));
        self.at = end;
    }

    /// The kind and the end of the token that begins here.
    fn token_at(&mut self, c: char, begins_line: bool) -> (Kind, usize) {
        let at = self.at;
        if self.syntax.directives && c == '#' && begins_line {
            return (Kind::Directive, self.directive_end(at));
        }
        if let Some(end) = self.string_at(at, 0).flatten() {
            return (Kind::Text, end);
        }
        if self.syntax.regex && begins_line {
            self.no_regex = 0;
        }
        let may_begin = self.syntax.regex && c == '/' && self.no_regex < NO_REGEX_MAX;
        if may_begin && self.may_begin_regex() {
            match regex_end(self.text, at) {
                Some(end) => return (Kind::Text, end),
                None => self.no_regex += 1,
            }
        }
        if self.is_word(c) {
            let word = self.rest().find(|c| !self.is_word(c)).unwrap_or(self.rest().len());
            return (Kind::Word, at + word);
        }
        if c == '-' && self.syntax.line_comments.contains(&"--") {
            // Of an operator: at each dash its end would be looked for again.
            return (Kind::Sign, self.text.len() - self.rest().trim_start_matches('-').len());
        }
        (Kind::Sign, at + c.len_utf8())
    }

    fn is_word(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_' || self.syntax.word.contains(c)
    }

    fn directive_end(&self, at: usize) -> usize {
        let mut end = at;
        for line in self.text[at..].split_inclusive('\n') {
            if !line.trim_end().ends_with('\\') {
                // Without its end, behind which the next line begins.
                return end + line.trim_end_matches('\n').len();
            }
            end += line.len();
        }
        end
    }

    fn comment_at(&self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        if self.syntax.line_comments.iter().any(|open| is_line_comment(rest, open)) {
            return Some(at + rest.find('\n').unwrap_or(rest.len()));
        }
        let blocks = self.syntax.block_comments.iter();
        let (open, close, nests) = blocks.copied().find(|(open, ..)| rest.starts_with(open))?;
        let (mut open_count, mut end) = (1, open.len());
        while open_count > 0 {
            let inner = &rest[end..];
            let Some(c) = inner.chars().next() else { return Some(self.text.len()) };
            end += if inner.starts_with(close) {
                open_count -= 1;
                close.len()
            } else if nests && inner.starts_with(open) {
                open_count += 1;
                open.len()
            } else {
                c.len_utf8()
            };
        }
        Some(at + end)
    }

    /// `None` where no string or character begins here; otherwise its end, as for [`Scanner::string_end`].
    fn string_at(&self, at: usize, nesting: usize) -> Option<Option<usize>> {
        let rest = &self.text[at..];
        if self.syntax.characters && rest.starts_with('\'') {
            return character_end(rest).map(|len| Some(at + len));
        }
        if let Some(named) = (self.syntax.named)(rest) {
            if self.unclosed.get() == UNCLOSED_MAX {
                return Some(None);
            }
            let len = named.len(rest);
            self.unclosed.set(self.unclosed.get() + usize::from(len.is_none()));
            return Some(len.map(|len| at + len));
        }
        let quote = self.syntax.strings.iter().find(|quote| rest.starts_with(quote.open))?;
        if self.unclosed.get() == UNCLOSED_MAX {
            return Some(None);
        }
        let end = self.string_end(at + quote.open.len(), quote, nesting);
        self.unclosed.set(self.unclosed.get() + usize::from(end.is_none()));
        Some(end)
    }

    /// `None` where the quote is never closed: then it is not a string.
    fn string_end(&self, mut at: usize, quote: &Quote, nesting: usize) -> Option<usize> {
        loop {
            let rest = &self.text[at..];
            let c = rest.chars().next()?;
            if rest.starts_with(quote.close) {
                let after = at + quote.close.len();
                if !(quote.doubles && self.text[after..].starts_with(quote.close)) {
                    return Some(after + self.further_quotes(quote, after));
                }
                at = after + quote.close.len();
            } else if quote.escapes && c == '\\' {
                at += 1 + self.text[at + 1..].chars().next()?.len_utf8();
            } else if !quote.inserts.is_empty() && rest.starts_with(quote.inserts) {
                at = self.insert_end(at + quote.inserts.len(), nesting + 1)?;
            } else if c == '\n' && !quote.many_lines {
                return Some(at); // an error of the program: the rest of the file is not in it
            } else {
                at += c.len_utf8();
            }
        }
    }

    /// Of `"""a""""` the last three end it.
    fn further_quotes(&self, quote: &Quote, after: usize) -> usize {
        let rest = if quote.close == "\"\"\"" { &self.text[after..] } else { "" };
        rest.len() - rest.trim_start_matches('"').len()
    }

    /// The end of an expression in a string, after its `}`. A string in it that is never closed ends the search: to go on
    /// behind its quote would take exponential time.
    fn insert_end(&self, mut at: usize, nesting: usize) -> Option<usize> {
        let mut depth = 1;
        if nesting > NESTING_MAX {
            return None;
        }
        while depth > 0 {
            if let Some(end) = self.comment_at(at) {
                at = end;
                continue;
            }
            if let Some(end) = self.string_at(at, nesting) {
                at = end?;
                continue;
            }
            let c = self.text[at..].chars().next()?;
            depth = match c {
                '{' => depth + 1,
                '}' => depth - 1,
                _ => depth,
            };
            at += c.len_utf8();
        }
        Some(at)
    }

    /// After a value, `/` divides.
    fn may_begin_regex(&self) -> bool {
        const BEFORE: [&str; 11] = [
            "return", "typeof", "case", "in", "of", "delete", "void", "throw", "do", "else",
            "await",
        ];
        match self.tokens.last() {
            None => true,
            Some(last) => match last.kind {
                Kind::Word => BEFORE.contains(&last.text),
                Kind::Sign => !matches!(last.text, ")" | "]"),
                Kind::Text | Kind::Directive => false,
            },
        }
    }
}

/// In Haskell a comment may begin with more than two dashes, and `-->` is an operator.
fn is_line_comment(rest: &str, open: &str) -> bool {
    let Some(after) = rest.strip_prefix(open) else { return false };
    let is_operator = |c: char| "!#$%&*+./<=>?@\\^|~:".contains(c);
    open != "--" || !after.trim_start_matches('-').starts_with(is_operator)
}

/// The length of `'x'` or `'\…'`.
fn character_end(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        let closing = chars.take_while(|(_, c)| *c != '\n').find(|(_, c)| *c == '\'');
        return closing.map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// The end of `/…/flags` on one line.
fn regex_end(text: &str, at: usize) -> Option<usize> {
    let mut in_class = false;
    let mut chars = text[at..].char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        if place > REGEX_MAX_BYTES {
            return None;
        }
        match c {
            '\n' => return None,
            '\\' => drop(chars.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => {
                let after = &text[at + place + 1..];
                let flags = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                return Some(at + place + 1 + flags);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'a>(text: &'a str, syntax: &Syntax) -> Vec<&'a str> {
        scan(text, syntax).iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a /* b \" */ \"c // d\\\"\" // e\nf 'g' '\\'' 'h";
        assert_eq!(words(text, &LIKE_C), ["a", "\"c // d\\\"\"", "f", "'g'", "'\\''", "'", "h"]);
        let nested = Syntax { block_comments: &[("(*", "*)", true)], ..LIKE_C };
        assert_eq!(words("x (* a (* b *) c *) y", &nested), ["x", "y"]);
        assert_eq!(words("x (* never closed", &nested), ["x"]);
    }

    #[test]
    fn a_closing_bracket_has_the_depth_of_its_opening_one() {
        let depths: Vec<usize> =
            scan("a { b ( c ) } d }", &LIKE_C).iter().map(|token| token.depth).collect();
        assert_eq!(depths, [0, 0, 1, 1, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn expressions_in_strings_may_hold_strings() {
        const STRINGS: &[Quote] =
            &[Quote { inserts: "${", ..Quote::block("`") }, Quote::line("\"")];
        let syntax = Syntax { strings: STRINGS, ..LIKE_C };
        let text = "a `b ${ {x: \"}`\"} } `.c";
        assert_eq!(words(text, &syntax), ["a", "`b ${ {x: \"}`\"} } `", ".", "c"]);
    }

    #[test]
    fn a_directive_ends_with_its_line() {
        let syntax = Syntax { directives: true, ..LIKE_C };
        let text = "#include <a>\r\n#define A \\\n b\n#if c\nd # e";
        let found = words(text, &syntax);
        assert_eq!(found, ["#include <a>\r", "#define A \\\n b", "#if c", "d", "#", "e"]);
    }

    #[test]
    fn three_quotes_and_more_end_a_string() {
        const SYNTAX: Syntax =
            Syntax { strings: &[Quote::raw("\"\"\"", "\"\"\""), Quote::line("\"")], ..LIKE_C };
        assert_eq!(words("a \"\"\"b \"c\"\"\"\" d", &SYNTAX), ["a", "\"\"\"b \"c\"\"\"\"", "d"]);
        assert_eq!(words("\u{feff}a \"\" b", &SYNTAX), ["a", "\"\"", "b"]);
    }

    #[test]
    fn a_slash_after_a_value_divides() {
        let syntax = Syntax { regex: true, ..LIKE_C };
        assert_eq!(
            words("a = /[/\"]\\//g; b / c / d", &syntax),
            ["a", "=", "/[/\"]\\//g", ";", "b", "/", "c", "/", "d"]
        );
    }

    #[test]
    fn a_quote_that_is_never_closed_is_no_string() {
        const SYNTAX: Syntax =
            Syntax { strings: &[Quote::block("'")], characters: false, ..LIKE_C };
        assert_eq!(words("It's x", &SYNTAX), ["It", "'", "s", "x"]);
    }

    /// Each of these once took the square of its length, or more; a test that does not end fails.
    #[test]
    fn no_text_takes_long() {
        const TEMPLATES: &[Quote] =
            &[Quote { inserts: "${", ..Quote::block("`") }, Quote::block("\""), Quote::block("'")];
        let syntax = Syntax {
            strings: TEMPLATES,
            characters: false,
            regex: true,
            block_comments: &[("/*", "*/", true)],
            ..LIKE_C
        };
        let dashes = Syntax { line_comments: &["--"], ..LIKE_C };
        assert_eq!(scan(&("-".repeat(512 * 1024 - 1) + ">"), &dashes).len(), 2);
        scan(&"/[".repeat(256 * 1024), &syntax);
        for piece in ["`${", "`${a ", "'\\", "\"\\", "/[", "/*", "/", "{", "(", "`", "`x${`"] {
            for end in ["", "\n", "*/", "`", "}"] {
                let text = piece.repeat(32 * 1024 / piece.len()) + end;
                scan(&text, &syntax);
            }
        }
    }

    #[test]
    fn any_text_can_be_scanned() {
        let syntaxes = [LIKE_C, Syntax { regex: true, directives: true, ..LIKE_C }];
        let pieces = ["'", "\"", "/", "*", "\\", "`", "${", "}", "ü", "\n", "#", "{-", "(*"];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for syntax in &syntaxes {
                        scan(&[a, b, c].concat(), syntax);
                    }
                }
            }
        }
    }
}
