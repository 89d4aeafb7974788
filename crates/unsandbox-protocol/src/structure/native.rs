// SPDX-License-Identifier: MIT OR Apache-2.0
//! The languages that are compiled and linked like C: which files belong to the program, and which library it needs.

use super::scan::{Kind, LIKE_C, Quote, Syntax, Token, scan};
use super::{Draft, Source};
use std::collections::HashSet;

const C: Syntax =
    Syntax { strings: &[Quote::raw("R\"(", ")\""), Quote::line("\"")], directives: true, ..LIKE_C };
const ZIG: Syntax =
    Syntax { block_comments: &[], strings: &[Quote::line("\"")], word: "@", ..LIKE_C };
const ASSEMBLY: Syntax = Syntax {
    line_comments: &[";"],
    block_comments: &[],
    strings: &[Quote::line("\""), Quote::line("'"), Quote::line("`")],
    characters: false,
    word: ".$?@",
    ..LIKE_C
};

/// C and what compiles like it (C++, Objective-C, D, Vala): uploaded sources are compiled with the program, but for
/// those that the program includes and those that are programs of their own.
pub(super) fn c<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (left_out, form) = {
        let own = Facts::of(&draft.text);
        let facts: Vec<Facts<'_>> = others.iter().map(|other| Facts::of(other.text)).collect();
        let all = || facts.iter().chain([&own]);
        let included: HashSet<&str> = all().flat_map(|facts| &facts.included).copied().collect();
        let leaves_out = |place: &usize| {
            let name = others[*place].name;
            let is_included = included.contains(name.rsplit('/').next().unwrap_or(name));
            is_included || facts[*place].has_main && (own.has_main || own.names_main)
        };
        let left_out = (0..others.len()).filter(leaves_out).collect();
        (left_out, if all().any(|facts| facts.uses_openmp) { "openmp" } else { "" })
    };
    Draft { left_out, form, ..draft }
}

/// What one file says.
struct Facts<'a> {
    has_main: bool,
    /// Under a condition, too.
    names_main: bool,
    uses_openmp: bool,
    /// Names without folders.
    included: HashSet<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(text: &'a str) -> Facts<'a> {
        let tokens = scan(text, &C);
        Facts {
            has_main: has_main(&tokens),
            names_main: tokens.windows(2).any(|two| two[0].is("main") && two[1].is("(")),
            uses_openmp: tokens.iter().any(is_openmp),
            included: tokens.iter().filter_map(included).collect(),
        }
    }
}

/// Not one of a test that is compiled under a condition.
fn has_main(tokens: &[Token<'_>]) -> bool {
    let mut conditions = 0_usize;
    tokens.iter().enumerate().any(|(place, token)| {
        if token.kind == Kind::Directive {
            let word = token.text.trim_start_matches('#').trim_start();
            // One that begins a file guards all of it.
            conditions += usize::from(word.starts_with("if") && place > 0);
            conditions = conditions.saturating_sub(usize::from(word.starts_with("endif")));
        }
        let is_function = conditions == 0
            && token.depth == 0
            && token.is("main")
            && tokens.get(place + 1).is_some_and(|next| next.is("("));
        let after = || tokens[place + 2..].iter().find(|token| token.depth == 0 && !token.is(")"));
        is_function && after().is_some_and(|token| !token.is(";"))
    })
}

/// The name in `#include "…"`, without folders.
fn included<'a>(token: &Token<'a>) -> Option<&'a str> {
    let rest = token.text.strip_prefix('#').filter(|_| token.kind == Kind::Directive)?.trim_start();
    let rest = rest.strip_prefix("include").or(rest.strip_prefix("import"))?.trim_start();
    rest.strip_prefix('"')?.split_once('"').and_then(|(path, _)| path.rsplit('/').next())
}

fn is_openmp(token: &Token<'_>) -> bool {
    let mut words = token.text.trim_start_matches('#').split_whitespace();
    token.kind == Kind::Directive
        && match words.next() {
            Some("pragma") => words.next() == Some("omp"),
            Some("include") => words.next() == Some("<omp.h>"),
            _ => token.text.contains("<omp.h>"),
        }
}

/// A program that calls the C library is linked with it.
pub(super) fn zig(draft: Draft<'_>) -> Draft<'_> {
    let uses_libc = {
        let tokens = scan(&draft.text, &ZIG);
        tokens.iter().enumerate().any(|(place, token)| {
            let next = |count: usize| tokens.get(place + count).map_or("", |token| token.text);
            token.is("@cImport")
                || token.is("c_allocator")
                || token.is("raw_c_allocator")
                || token.is("extern") && next(1) == "\"c\""
                || token.is("std") && next(1) == "." && next(2) == "c" && next(3) == "."
        })
    };
    Draft { form: if uses_libc { "libc" } else { "" }, ..draft }
}

/// With `_start` a program brings its own entry, with `main` it takes the C library's.
pub(super) fn assembly(draft: Draft<'_>) -> Draft<'_> {
    let has_start = {
        let tokens = scan(&draft.text, &ASSEMBLY);
        tokens.windows(2).any(|two| two[0].is("_start") && two[0].begins_line && two[1].is(":"))
    };
    Draft { form: if has_start { "start" } else { "" }, ..draft }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lay_out;
    use super::super::{Layout, Upload};

    fn laid<'a>(language: &str, code: &'a str, files: &'a [(String, Vec<u8>)]) -> Layout<'a> {
        lay_out(language, Upload { code, files })
    }

    fn files(files: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn uploaded_sources_are_compiled_with_the_program() {
        let given = files(&[
            ("util.c", "int twice(int x) { return 2 * x; }"),
            ("util.h", "int twice(int x);"),
            ("part.c", "static int part;"),
            ("other.c", "int main(void) { return 1; }"),
            ("only.c", "int main(void); /* int main() { */"),
            ("test.c", "int twice(int);\n#ifdef TEST\nint main(void) { return 0; }\n#endif"),
            ("data.txt", "int main() {}"),
        ]);
        let code = "#include \"part.c\"\n#include \"util.h\"\nint main() { return twice(1); }";
        assert_eq!(laid("c", code, &given).sources, ["util.c", "only.c", "test.c"]);
        let library = "int helper(void) { return 1; }";
        assert!(laid("c", library, &given).sources.contains(&"other.c".to_string()));
        let itself = files(&[("prog.c", code), ("main.c", library)]);
        let found = laid("c", code, &itself);
        assert_eq!((&*found.source, &*found.sources), ("prog.c", &["main.c".to_string()][..]));
        let renamed = files(&[("main.c", library)]);
        let found = laid("c", code, &renamed);
        assert_eq!((&*found.source, &*found.sources), ("main_1.c", &["main.c".to_string()][..]));
    }

    #[test]
    fn a_library_is_linked_where_the_program_uses_it() {
        let form = |language, code| laid(language, code, &[]).form;
        assert_eq!(form("c", "#pragma omp parallel for\nfor (;;);"), "openmp");
        assert_eq!(form("cpp", "#  include <omp.h>\n"), "openmp");
        assert_eq!(form("c", "// #include <omp.h>\nchar *s = \"#pragma omp\";"), "");
        assert_eq!(form("zig", "const c = @cImport({});"), "libc");
        assert_eq!(form("zig", "extern \"c\" fn puts(s: [*:0]const u8) c_int;"), "libc");
        assert_eq!(form("zig", "// @cImport\nconst s = \"std.c.puts\";"), "");
        assert_eq!(form("assembly", "global _start\n_start: mov eax, 1"), "start");
        assert_eq!(form("assembly", "; _start:\nmain: ret"), "");
    }
}
