// SPDX-License-Identifier: MIT OR Apache-2.0
//! Languages whose programs may leave out the line that says which language they are, or stand in a text for people.

use super::Draft;
use super::scan::{LIKE_C, Named, Quote, Syntax, scan, word_at};
use std::borrow::Cow;

const PHP: Syntax = Syntax {
    line_comments: &["//", "#"],
    strings: &[Quote::block("\""), Quote::block("'"), Quote::block("`")],
    characters: false,
    word: "$",
    named: here_document,
    ..LIKE_C
};
const RACKET: Syntax = Syntax {
    line_comments: &[";"],
    block_comments: &[("#|", "|#", true)],
    strings: &[Quote::block("\"")],
    characters: false,
    word: "-#!?*<>=/+",
    ..LIKE_C
};

/// `<<<END`, `<<<"END"` or `<<<'END'`, up to a line that begins with `END`.
fn here_document(rest: &str) -> Option<Named> {
    let inner =
        rest.strip_prefix("<<<")?.trim_start_matches([' ', '\t']).trim_start_matches(['"', '\'']);
    let name = word_at(inner)?;
    Some(Named {
        open: rest.len() - inner.len() + name.len(),
        close: name.to_string(),
        on_line: true,
    })
}

/// Without an opening tag php would print the program; a text that begins with `<` is a page.
pub(super) fn php(draft: Draft<'_>) -> Draft<'_> {
    let begins = draft.text.trim_start().starts_with('<');
    let has_tag = begins || {
        let tokens = scan(&draft.text, &PHP);
        let opens = |at: usize| {
            draft.text[at..].starts_with("<?=") || {
                let word = draft.text.get(at..at + 5).unwrap_or_default();
                word.eq_ignore_ascii_case("<?php")
            }
        };
        tokens.iter().any(|token| token.is("<") && opens(token.at))
    };
    if has_tag { draft } else { prefixed(draft, "<?php ") }
}

/// A program that names no language is one of the language racket.
pub(super) fn racket(draft: Draft<'_>) -> Draft<'_> {
    let names_one = {
        let tokens = scan(&draft.text, &RACKET);
        let first = |place: usize| tokens.get(place).map_or("", |token| token.text);
        matches!(first(0), "#lang" | "#reader" | "#!racket")
            || first(0).starts_with("#!r")
            || first(0) == "(" && matches!(first(1), "module" | "module*")
    };
    if names_one { draft } else { prefixed(draft, "#lang racket ") }
}

/// Prose with indented code in it: a literate program, which its tool knows by the name of the file.
pub(super) fn coffeescript(draft: Draft<'_>) -> Draft<'_> {
    let lines = || draft.text.lines().filter(|line| !line.trim().is_empty());
    let is_code = |line: &str| line.starts_with("    ") || line.starts_with('\t');
    let is_prose = |line: &str| {
        let begins = line.starts_with(|c: char| c.is_uppercase() || "#*->=[".contains(c));
        begins && !line.contains("->") && !line.contains(" = ") && !line.contains('(')
    };
    let is_literate = lines().any(is_code)
        && lines().any(|line| !is_code(line) && !line.starts_with('#'))
        && lines().all(|line| is_code(line) || is_prose(line));
    let source = if is_literate { "main.litcoffee".to_string() } else { draft.source };
    Draft { source, ..draft }
}

/// What is read in one dialect alone has a name of its own.
pub(super) fn clojure(draft: Draft<'_>) -> Draft<'_> {
    let mut rest = draft.text.chars().peekable();
    let mut has_condition = false;
    while let Some(c) = rest.next() {
        match c {
            ';' => while rest.next_if(|c| *c != '\n').is_some() {},
            '\\' => {
                rest.next();
            }
            '"' => {
                while let Some(c) = rest.next_if(|c| *c != '"') {
                    if c == '\\' {
                        rest.next();
                    }
                }
                rest.next();
            }
            '#' => has_condition |= rest.peek() == Some(&'?'),
            _ => {}
        }
    }
    let source = if has_condition { "main.cljc".to_string() } else { draft.source };
    Draft { source, ..draft }
}

fn prefixed<'a>(draft: Draft<'a>, prefix: &str) -> Draft<'a> {
    Draft { text: Cow::Owned(format!("{prefix}{}", draft.text)), ..draft }
}

#[cfg(test)]
mod tests {
    use super::super::Upload;
    use super::super::tests::lay_out;

    fn is_prefixed(language: &str, code: &str) -> bool {
        let found = lay_out(language, Upload { code, files: &[] });
        assert!(found.text.ends_with(code), "{code}");
        found.text != code
    }

    #[test]
    fn php_gets_a_tag_where_it_has_none() {
        for code in
            ["echo 1;", "echo '<?php';", "// <?php\necho 1;", "/* <?= */ echo \"a\n<?php\";"]
        {
            assert!(is_prefixed("php", code), "{code}");
        }
        assert!(is_prefixed("php", "echo <<<'END'\n<?php it's\n  END . \"<?php\";"));
        for code in [
            "<?php echo 1;",
            "\n<?PHP echo 1;",
            "<h1>Hello</h1>",
            "<p>It's</p>\n<?= 1 ?>",
            "a 'b' <?php echo 1;",
        ] {
            assert!(!is_prefixed("php", code), "{code}");
        }
    }

    #[test]
    fn a_program_with_conditions_of_a_reader_has_a_name_of_its_own() {
        let source = |code| lay_out("clojure", Upload { code, files: &[] }).source.to_string();
        assert_eq!(source("(println #?(:clj 1 :cljs 2))"), "main.cljc");
        for code in ["(println \"#?(\")", "; #?(\n(println \\#)", "(println #(inc %))", "\"#?"] {
            assert_eq!(source(code), "main.clj", "{code}");
        }
    }

    #[test]
    fn a_literate_program_has_a_name_of_its_own() {
        let source = |code| lay_out("coffeescript", Upload { code, files: &[] }).source;
        for code in [
            "A text.\n\n    f = (x) ->\n      x\n\nMore text.\n",
            "Title\n=====\n\n* a list\n\n\tconsole.log 1\n",
        ] {
            assert_eq!(source(code), "main.litcoffee", "{code}");
        }
        for code in [
            "console.log 1\n",
            "f = ->\n    1\n",
            "# A comment\n\n    console.log 1\n",
            "Foo::bar = ->\n    1\n",
            "class A\n    b: 1\nnew A",
        ] {
            assert_eq!(source(code), "main.coffee", "{code}");
        }
    }

    #[test]
    fn racket_gets_a_language_where_it_names_none() {
        for code in
            ["(displayln 1)", "; #lang racket\n(displayln 1)", "#| (module x |# 1", "\"#lang\""]
        {
            assert!(is_prefixed("racket", code), "{code}");
        }
        for code in [
            "#lang typed/racket\n1",
            "; c\n#lang racket/base\n1",
            "(module m racket 1)",
            " #reader x",
        ] {
            assert!(!is_prefixed("racket", code), "{code}");
        }
    }
}
