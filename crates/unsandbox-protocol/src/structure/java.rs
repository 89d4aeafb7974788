// SPDX-License-Identifier: MIT OR Apache-2.0
//! Java: which class is started, what its file is called, and which uploaded files the program uses.

use super::jvm::{NESTED_MAX, Type, Types, entry, modifiers, package, parents};
use super::scan::{Kind, LIKE_C, Quote, Syntax, Token, close, scan, words_behind};
use super::{Draft, Source, unnamed};

const JAVA: Syntax =
    Syntax { strings: &[Quote::block("\"\"\""), Quote::line("\"")], word: "$", ..LIKE_C };

pub(super) fn java<'a>(
    draft: Draft<'a>,
    others: &[Source<'_>],
    files: &[(String, Vec<u8>)],
) -> Draft<'a> {
    let mut types = Types::default();
    java_types(&draft.text, &mut types);
    types.own = types.all.len();
    let own_names: Vec<&str> = types.all.iter().map(|found| found.name).collect();
    let mut names: Vec<Option<Vec<&str>>> = Vec::new();
    for other in others {
        let begin = types.all.len();
        java_types(other.text, &mut types);
        // A file with the program's own types is another version of it.
        let found = types.all[begin..].iter().filter(|found| found.package.is_none());
        let found = found.map(|found| found.name).filter(|name| !own_names.contains(name));
        names.push((!types.is_full()).then(|| found.collect()));
    }
    let chosen = entry(&types);
    let own = &types.all[..types.own];
    let public = own.iter().find(|found| found.is_top && found.is_public);
    let starts = chosen.and_then(|chosen| own.get(chosen));
    let name = public.or(starts.filter(|found| found.is_top)).map_or("Main", |found| found.name);
    let entry = chosen.map_or("Main".to_string(), |chosen| types.qualified(chosen));
    // Without a main of its own it may be any part of the program.
    let starts_here = starts.is_some_and(|found| found.has_main);
    let left_out = match starts_here {
        true => {
            // A list of services names classes as well.
            let is_source = |name: &str| others.iter().any(|other| other.name == name);
            let texts = files.iter().filter(|(name, _)| !is_source(name));
            let texts = texts.filter_map(|(_, content)| std::str::from_utf8(content).ok());
            let words = texts.chain([&*draft.text]).flat_map(java_words);
            unnamed(&names, words, |place| java_words(others[place].text))
        }
        false => Vec::new(),
    };
    Draft { source: format!("{name}.java"), entry, left_out, ..draft }
}

/// The words of a text; those in strings count, since classes are loaded by their names.
fn java_words(text: &str) -> impl Iterator<Item = &str> {
    let tokens = scan(text, &JAVA).into_iter();
    let words =
        tokens.flat_map(|token| token.text.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.chain(words_behind(text))
}

fn java_types<'a>(text: &'a str, known: &mut Types<'a>) {
    let tokens = scan(text, &JAVA);
    let room = known.begin_file();
    let package = known.package(package(&tokens));
    let types = &mut known.all;
    let mut open: Vec<usize> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        close(&mut open, token, |at| types[*at].depth);
        let outer = open.last().map(|at| &types[*at]);
        if token.depth != outer.map_or(0, |outer| outer.depth + 1) || types.len() >= room {
            continue;
        }
        if let Some(kind) = java_declares(&tokens, place) {
            let modifiers = modifiers(&tokens, place);
            let name = tokens[place + 1].text;
            let is_interface = kind == "interface";
            let parents = if is_interface {
                Vec::new()
            } else {
                parents(&tokens, place, token.depth, &["extends"])
            };
            let is_public = modifiers.contains(&"public");
            let is_top = outer.is_none();
            let depth = token.depth;
            let outer = open.last().copied().or(package);
            if open.len() < NESTED_MAX {
                open.push(types.len());
            }
            types.push(Type {
                name,
                outer,
                depth,
                is_top,
                is_public,
                is_interface,
                parents,
                can_start: true,
                ..Type::default()
            });
        } else if let (Some(at), Some(starts)) = (open.last(), java_main(&tokens, place, outer)) {
            let found = &mut types[*at];
            found.has_main |= starts;
            found.has_other_main |= !starts;
        }
    }
}

/// `class`, `interface`, `enum` or `record` where it declares a type.
fn java_declares<'a>(tokens: &[Token<'a>], place: usize) -> Option<&'a str> {
    let kind = tokens[place].word()?;
    let next = tokens.get(place + 1)?;
    let is_named = next.kind == Kind::Word && !(place > 0 && tokens[place - 1].is("."));
    let after = tokens.get(place + 2).map_or("", |token| token.text);
    let declares = match kind {
        "class" | "interface" | "enum" => true,
        "record" => matches!(after, "(" | "<"),
        _ => false,
    };
    (declares && is_named).then_some(kind)
}

/// Whether a `main` is declared here, and whether the virtual machine starts it.
fn java_main(tokens: &[Token<'_>], place: usize, outer: Option<&Type<'_>>) -> Option<bool> {
    let is_declared = tokens[place].is("main") && tokens.get(place + 1)?.is("(") && place > 0;
    let modifiers =
        is_declared.then(|| modifiers(tokens, place)).filter(|words| words.contains(&"void"))?;
    let is_public = modifiers.contains(&"public") || outer.is_some_and(|outer| outer.is_interface);
    let inner = tokens[place + 2..].iter().take_while(|token| token.depth > tokens[place].depth);
    let inner: Vec<&str> = inner.map(|token| token.text).collect();
    let is_list = inner.contains(&"String") && !inner.contains(&",");
    let is_list =
        is_list && (inner.contains(&"[") || inner.iter().filter(|sign| **sign == ".").count() >= 3);
    Some(is_public && modifiers.contains(&"static") && is_list)
}

#[cfg(test)]
mod tests {
    use super::super::Upload;
    use super::super::tests::{lay_out, uploaded};

    /// The source's name and the entry.
    fn laid(code: &str) -> [String; 2] {
        let found = lay_out("java", Upload { code, files: &[] });
        [found.source, found.entry]
    }

    #[test]
    fn java_starts_the_class_that_has_a_main() {
        let main = "public static void main(String[] a) { }";
        for (code, source, entry) in [
            (
                format!("/*\npublic class Old {{\n}}\n*/\npublic class Main {{ {main} }}"),
                "Main",
                "Main",
            ),
            (format!("import java.util.*; public class Sol {{ {main} }}"), "Sol", "Sol"),
            (
                format!(
                    "class Alpha {{ static String s = \"([Ljava/lang/String;)V main\"; }} class Solution {{ {main} }}"
                ),
                "Solution",
                "Solution",
            ),
            (format!("class A {{ void main(String[] a) {{}} }} class B {{ {main} }}"), "B", "B"),
            (format!("class A {{ {main} }} public class B {{ {main} }}"), "B", "B"),
            (
                format!("package a.b;\nclass A {{ static class In {{ {main} }} }}"),
                "Main",
                "a.b.A$In",
            ),
            (
                format!("class Base {{ {main} }} public class Sub extends Base {{ int x; }}"),
                "Sub",
                "Base",
            ),
            ("interface Run { static void main(String... args) { } }".to_string(), "Run", "Run"),
            ("interface Shape { double area(); }".to_string(), "Shape", "Shape"),
            (
                "enum E { A; public static void main(final java.lang.String args[]) {} }"
                    .to_string(),
                "E",
                "E",
            ),
            ("record P(int x) { public static void main(String[] a) {} }".to_string(), "P", "P"),
            (
                format!("class T {{ String t = \"\"\"\n public class X {{ \"\"\"; {main} }}"),
                "T",
                "T",
            ),
            ("void main() { IO.println(1); }".to_string(), "Main", "Main"),
            (String::new(), "Main", "Main"),
        ] {
            let [found, starts] = laid(&code);
            assert_eq!((found, starts), (format!("{source}.java"), entry.to_string()), "{code}");
        }
    }

    #[test]
    fn java_files_that_the_program_does_not_use_are_left_out() {
        let files = [
            ("A.java", "class A { B b; }"),
            ("B.java", "class B { }"),
            ("C.java", "class C { }"),
            ("ATest.java", "import org.junit.Test; class ATest { A a; }"),
            ("D.java", "class D { }"),
            ("x/Other.java", "package x; class Other { Nope n; }"),
            ("x/Used.java", "package x; public class Used { }"),
            ("M_old.java", "class M { broken"),
            ("META-INF/services/java.lang.Runnable", "x.D\n"),
        ];
        let files = uploaded(&files);
        let main = "public static void main(String[] a) throws Exception";
        let code = format!("class M {{ {main} {{ new A(); Class.forName(\"x.C\"); x.Used u; }} }}");
        let found = lay_out("java", Upload { code: &code, files: &files });
        assert_eq!(found.sources, ["A.java", "B.java", "C.java", "D.java", "x/Used.java"]);
    }
}
