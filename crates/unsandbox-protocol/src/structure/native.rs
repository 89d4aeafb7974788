// SPDX-License-Identifier: MIT OR Apache-2.0
//! The languages that are compiled and linked like C: which files belong to the program, and which library it needs.

use super::scan::{Kind, LIKE_C, Named, Quote, Syntax, Token, scan, word_at};
use super::{Draft, Source};
use std::collections::HashSet;

const C: Syntax =
    Syntax { strings: &[Quote::line("\"")], directives: true, named: raw_string, ..LIKE_C };
const D: Syntax = Syntax {
    block_comments: &[("/*", "*/", false), ("/+", "+/", true)],
    strings: &[Quote::raw("`", "`"), Quote::raw("r\"", "\""), Quote::block("\"")],
    named: here_string,
    ..LIKE_C
};
const VALA: Syntax = Syntax {
    strings: &[Quote::raw("\"\"\"", "\"\"\""), Quote::block("\"")],
    directives: true,
    ..LIKE_C
};
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

/// `R"xy(…)xy"` of C++.
fn raw_string(rest: &str) -> Option<Named> {
    let inner =
        ["R\"", "LR\"", "uR\"", "UR\"", "u8R\""].iter().find_map(|open| rest.strip_prefix(open))?;
    let name = &inner[..inner.bytes().take(17).position(|byte| byte == b'(')?];
    let is_name = !name.contains([' ', ')', '\\', '"', '\n', '\t']);
    let open = rest.len() - inner.len() + name.len() + 1;
    let named = Named { open, close: format!("){name}\""), on_line: false };
    is_name.then_some(named)
}

/// `q"END` of D, up to a line that begins with `END"`.
fn here_string(rest: &str) -> Option<Named> {
    let inner = rest.strip_prefix("q\"")?;
    let name = word_at(inner)?;
    Some(Named { open: 2 + name.len(), close: format!("{name}\""), on_line: true })
}

/// C and what compiles like it (C++, Objective-C, D, Vala): uploaded sources are compiled with the program, but for
/// those that a file of it includes and those that are programs of their own.
pub(super) fn c<'a>(
    draft: Draft<'a>,
    language: &str,
    others: &[Source<'_>],
    files: &[(String, Vec<u8>)],
) -> Draft<'a> {
    let syntax = match language {
        "d" => &D,
        "vala" => &VALA,
        _ => &C,
    };
    let (left_out, form) = {
        let own = Facts::of(&draft.text, syntax);
        let facts: Vec<Facts<'_>> =
            others.iter().map(|other| Facts::of(other.text, syntax)).collect();
        let roots = || facts.iter().chain([&own]);
        let (included, openmp_inside) = all_included(roots(), others, files, syntax);
        let leaves_out = |place: &usize| {
            let name = others[*place].name;
            let is_included = included.contains(base(name));
            is_included || facts[*place].has_main && (own.has_main || own.names_main)
        };
        let left_out = (0..others.len()).filter(leaves_out).collect();
        let uses_openmp = openmp_inside || roots().any(|facts| facts.uses_openmp);
        let is_mixed = language == "objc"
            && files
                .iter()
                .filter_map(|(_, content)| std::str::from_utf8(content).ok())
                .any(is_cpp);
        let form = match uses_openmp {
            _ if is_mixed || language == "objc" && is_cpp(&draft.text) => "c++",
            true => "openmp",
            false => "",
        };
        (left_out, form)
    };
    Draft { left_out, form, ..draft }
}

/// Whether Objective-C is mixed with C++.
fn is_cpp(text: &str) -> bool {
    let tokens = scan(text, &C);
    tokens.iter().enumerate().any(|(place, token)| {
        let next = |count: usize| tokens.get(place + count).map_or("", |token| token.text);
        let is_class = token.is("class") && !(place > 0 && tokens[place - 1].is("@"));
        let header = token.text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        // Headers of C++ have no extension.
        token.kind == Kind::Directive && header.is_some_and(|(name, _)| !name.contains('.'))
            || token.is("std") && next(1) == ":" && next(2) == ":"
            || token.is("using") && next(1) == "namespace"
            || token.is("template") && next(1) == "<"
            || is_class && token.begins_line && matches!(next(2), "{" | ":")
            || matches!(token.text, "nullptr" | "constexpr" | "static_cast" | "dynamic_cast")
            || token.is("auto") && matches!(next(2), "=" | ":")
            || token.is("for") && next(1) == "(" && is_range(&tokens[place..])
            || token.is("struct") && next(2) == "{" && has_function(&tokens[place..])
            || is_reference(&tokens, place)
    })
}

/// `for (int x : all)`.
fn is_range(tokens: &[Token<'_>]) -> bool {
    const NEAR: usize = 8;
    let head = tokens.iter().skip(2).take(NEAR);
    let mut head = head.take_while(|token| !matches!(token.text, ";" | "?" | "in" | ")" | "["));
    head.any(|token| token.is(":"))
}

/// A structure with a function in it.
fn has_function(tokens: &[Token<'_>]) -> bool {
    const NEAR: usize = 200;
    let inner = tokens[0].depth + 1;
    let body = tokens.iter().skip(3).take(NEAR).take_while(|token| token.depth >= inner);
    let body: Vec<&Token<'_>> = body.filter(|token| token.depth == inner).collect();
    body.windows(4).any(|four| {
        four[0].kind == Kind::Word && four[1].is("(") && four[2].is(")") && four[3].is("{")
    })
}

/// A parameter that is a reference: `(int &x`, `(const T& x`. What is inside a body may be an operation on bits.
fn is_reference(tokens: &[Token<'_>], place: usize) -> bool {
    let types = ["int", "char", "long", "double", "float", "bool", "size_t", "unsigned"];
    let after = |count: usize| tokens.get(place + count);
    types.contains(&tokens[place].text)
        && after(1).is_some_and(|token| token.is("&"))
        && after(2).is_some_and(|token| token.kind == Kind::Word)
        && after(3).is_some_and(|token| matches!(token.text, ")" | "," | "="))
}

/// The files of C that are linked with a program of another language.
pub(super) fn linked<'n>(sources: &[Source<'n>], files: &[(String, Vec<u8>)]) -> Vec<&'n str> {
    let facts: Vec<Facts<'_>> = sources.iter().map(|source| Facts::of(source.text, &C)).collect();
    let (included, _) = all_included(facts.iter(), sources, files, &C);
    let parts = sources
        .iter()
        .zip(&facts)
        .filter(|(source, facts)| !facts.has_main && !included.contains(base(source.name)));
    parts.map(|(source, _)| source.name).collect()
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The names, without folders, of all that these files include and that those include, and whether one of the included
/// headers uses OpenMP.
fn all_included<'f, 't: 'f>(
    roots: impl Iterator<Item = &'f Facts<'t>>,
    others: &[Source<'_>],
    files: &'t [(String, Vec<u8>)],
    syntax: &Syntax,
) -> (HashSet<&'t str>, bool) {
    let mut included: HashSet<&str> =
        roots.flat_map(|facts| facts.included.iter().copied()).collect();
    let is_header = |name: &str| !others.iter().any(|other| other.name == name);
    let mut headers: Vec<_> = files.iter().filter(|(name, _)| is_header(name)).collect();
    let mut uses_openmp = false;
    loop {
        let is_used = |file: &&(String, Vec<u8>)| included.contains(base(&file.0));
        let (now, rest): (Vec<_>, Vec<_>) = headers.into_iter().partition(is_used);
        headers = rest;
        if now.is_empty() {
            return (included, uses_openmp);
        }
        let texts = now.into_iter().filter_map(|(_, content)| std::str::from_utf8(content).ok());
        for facts in texts.map(|text| Facts::of(text, syntax)) {
            uses_openmp |= facts.uses_openmp;
            included.extend(facts.included);
        }
    }
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
    fn of(text: &'a str, syntax: &Syntax) -> Facts<'a> {
        let tokens = scan(text, syntax);
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

/// A program that calls the C library, in any of its files, is linked with it.
pub(super) fn zig<'a>(draft: Draft<'a>, files: &[(String, Vec<u8>)]) -> Draft<'a> {
    let others = files.iter().filter(|(name, _)| name.ends_with(".zig"));
    let mut texts = others.filter_map(|(_, content)| std::str::from_utf8(content).ok());
    let uses = uses_libc(&draft.text) || texts.any(uses_libc);
    Draft { form: if uses { "libc" } else { "" }, ..draft }
}

fn uses_libc(text: &str) -> bool {
    let tokens = scan(text, &ZIG);
    tokens.iter().enumerate().any(|(place, token)| {
        let next = |count: usize| tokens.get(place + count).map_or("", |token| token.text);
        token.is("@cImport")
            || token.is("c_allocator")
            || token.is("raw_c_allocator")
            || token.is("extern") && next(1) == "\"c\""
            || token.is("std") && next(1) == "." && next(2) == "c" && next(3) == "."
    })
}

/// With `_start` a program brings its own entry, with `main` it takes the C library's; with `_start` and names that no
/// file of it defines, it brings its entry and takes the library all the same.
///
/// Files that are included, and programs of their own, are not assembled with it.
pub(super) fn assembly<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (form, left_out) = {
        let own = Names::of(&draft.text);
        let files: Vec<Names<'_>> = others.iter().map(|other| Names::of(other.text)).collect();
        let is_program = |file: &Names<'_>| {
            let starts = ["main", "_start"];
            starts.iter().any(|name| own.labels.contains(name) && file.labels.contains(name))
        };
        let all = || files.iter().filter(|file| !is_program(file)).chain([&own]);
        let included: HashSet<&str> =
            all().flat_map(|file| file.inserted.iter().copied()).collect();
        let leaves_out = |place: &usize| {
            is_program(&files[*place]) || included.contains(base(others[*place].name))
        };
        let left_out: Vec<usize> = (0..files.len()).filter(leaves_out).collect();
        let labels: HashSet<&str> = all().flat_map(|file| file.labels.iter().copied()).collect();
        let mut wanted = all().flat_map(|file| file.wanted.iter().copied());
        let form = match (labels.contains("_start"), wanted.any(|name| !labels.contains(name))) {
            (false, _) => "",
            (true, false) => "start",
            (true, true) => "start-libc",
        };
        (form, left_out)
    };
    Draft { form, left_out, ..draft }
}

/// The names in a file of assembly.
struct Names<'a> {
    labels: HashSet<&'a str>,
    inserted: HashSet<&'a str>,
    wanted: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(text: &'a str) -> Names<'a> {
        let tokens = scan(text, &ASSEMBLY);
        Names {
            labels: labels(&tokens).into_iter().collect(),
            inserted: inserted(&tokens).into_iter().collect(),
            wanted: named_by(&tokens, "extern").into_iter().collect(),
        }
    }
}

/// The names in `%include "…"`, without folders.
fn inserted<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let three = tokens.windows(3).filter(|three| three[0].is("%"));
    let includes = three.filter(|three| three[1].text.eq_ignore_ascii_case("include"));
    includes.filter_map(|three| three[2].content()).map(base).collect()
}

/// The first words of lines that are not instructions: those with a colon, and those that are declared global.
fn labels<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let global: HashSet<&str> = named_by(tokens, "global").into_iter().collect();
    let begins = tokens.iter().enumerate().filter(|(_, token)| token.begins_line);
    let is_label = |place: usize, text: &str| {
        tokens.get(place + 1).is_some_and(|next| next.is(":")) || global.contains(text)
    };
    let found = begins.filter(|(place, token)| is_label(*place, token.text));
    found.map(|(_, token)| token.text).collect()
}

/// The names in `extern a, b` or `[global a]`.
fn named_by<'a>(tokens: &[Token<'a>], directive: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let begins = token.begins_line || place > 0 && tokens[place - 1].is("[");
        if begins && token.text.eq_ignore_ascii_case(directive) {
            let line = tokens[place + 1..]
                .iter()
                .take_while(|token| !token.begins_line && !matches!(token.text, "[" | "]"));
            names.extend(line.filter_map(Token::word));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::{lay_out, uploaded};
    use super::super::{Layout, Upload};

    fn laid<'a>(language: &str, code: &'a str, files: &'a [(String, Vec<u8>)]) -> Layout<'a> {
        lay_out(language, Upload { code, files })
    }

    #[test]
    fn uploaded_sources_are_compiled_with_the_program() {
        let given = uploaded(&[
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
        let itself = uploaded(&[("prog.c", code), ("main.c", library)]);
        let found = laid("c", code, &itself);
        assert_eq!((&*found.source, &*found.sources), ("prog.c", &["main.c".to_string()][..]));
        let renamed = uploaded(&[("main.c", library)]);
        let found = laid("c", code, &renamed);
        assert_eq!((&*found.source, &*found.sources), ("main_1.c", &["main.c".to_string()][..]));
    }

    #[test]
    fn headers_and_further_sources_are_read_as_well() {
        let openmp = "#pragma omp parallel\n";
        let header = uploaded(&[("a.h", "#include \"deep/b.h\""), ("deep/b.h", openmp)]);
        assert_eq!(laid("c", "#include \"a.h\"\nint main() {}", &header).form, "openmp");
        assert_eq!(laid("c", "int main() {}", &header).form, "");
        let second = uploaded(&[("util.cpp", openmp)]);
        assert_eq!(laid("cpp", "int main() {}", &second).form, "openmp");
        let part = uploaded(&[("a.h", "#include \"part.c\""), ("part.c", "int part;")]);
        assert!(laid("c", "#include \"a.h\"\nint main() {}", &part).sources.is_empty());
        let zig = uploaded(&[("util.zig", "const c = @cImport(@cInclude(\"math.h\"));")]);
        assert_eq!(laid("zig", "const util = @import(\"util.zig\");", &zig).form, "libc");
    }

    #[test]
    fn strings_that_name_their_end_are_not_code() {
        for (language, name, text) in [
            ("cpp", "a.cpp", "auto s = R\"xy( )\" int main() { )xy\"; int f() { return 1; }"),
            ("cpp", "a.cpp", "auto s = u8R\"(\n\" int main() {\n)\";"),
            ("d", "a.d", "string s = q\"END\nint main() { }\nEND\"; /+ /+ +/ int main() { } +/"),
            ("d", "a.d", "string s = `\"` ~ r\"\\\"; string t = `int main() { }`;"),
            ("vala", "a.vala", "string s = \"\"\" \" int main() { } \"\"\";"),
        ] {
            let given = uploaded(&[(name, text)]);
            let found = laid(language, "int main() { return 0; }", &given);
            assert_eq!(found.sources, [name], "{text}");
        }
    }

    #[test]
    fn a_library_is_linked_where_the_program_uses_it() {
        let form = |language, code| laid(language, code, &[]).form;
        assert_eq!(form("c", "#pragma omp parallel for\nfor (;;);"), "openmp");
        assert_eq!(form("cpp", "#  include <omp.h>\n"), "openmp");
        assert_eq!(form("c", "// #include <omp.h>\nchar *s = \"#pragma omp\";"), "");
        let objc = "#import <Foundation/Foundation.h>\n@class A;\n// std::\n";
        assert_eq!(form("objc", objc), "");
        assert_eq!(form("objc", "#import <a.h>\n#include <vector>\n@class A;"), "c++");
        assert_eq!(form("objc", "@class A;\nclass B { };\n"), "c++");
        for mixed in [
            "struct P { int x; int y() { return x; } };\nint main() { P p{3}; }",
            "static void inc(int &x) { x++; }",
            "int main() { int *p = nullptr; }",
            "int main() { NSArray *a; for (int x : values) { } }",
            "int main() { auto f = [](int x) { return x; }; }",
        ] {
            assert_eq!(form("objc", mixed), "c++", "{mixed}");
        }
        for plain in [
            "struct P { int x; int (*f)(); };\nint main() { return a ? b : c; }",
            "int main() { for (id x in all) { } for (int i = 0; i < 3; i++) { } return x & y; }",
            "@interface A : NSObject\n- (void)go:(int)x;\n@end\nint f(int *x) { return sizeof(int) & 3; }",
        ] {
            assert_ne!(form("objc", plain), "c++", "{plain}");
        }
        assert_eq!(form("c", "#include <vector>\n"), "");
        assert_eq!(form("zig", "const c = @cImport({});"), "libc");
        assert_eq!(form("zig", "extern \"c\" fn puts(s: [*:0]const u8) c_int;"), "libc");
        assert_eq!(form("zig", "// @cImport\nconst s = \"std.c.puts\";"), "");
        assert_eq!(form("assembly", "global _start\n_start: mov eax, 1"), "start");
        assert_eq!(form("assembly", "global _start\n_start mov eax, 1"), "start");
        assert_eq!(form("assembly", "; _start:\nmain: ret"), "");
        let calls = "extern printf, exit\nglobal _start\n_start: call exit";
        assert_eq!(form("assembly", calls), "start-libc");
        assert_eq!(form("assembly", "extern printf\nglobal main\nmain: call printf"), "");
        let own = uploaded(&[
            ("say.asm", "global exit\nexit: ret"),
            ("p.asm", "[global printf]\nprintf: ret"),
        ]);
        assert_eq!(laid("assembly", calls, &own).form, "start");
        let own = uploaded(&[("a.asm", "main: ret"), ("b.asm", "%macro m"), ("c.nasm", "f: ret")]);
        let found = laid("assembly", "%INCLUDE 'x/b.asm'\nmain: ret", &own);
        assert_eq!(found.sources, ["c.nasm"]);
    }
}
