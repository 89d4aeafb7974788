// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kotlin and Scala, and what they share with Java: which class has the `main` that the virtual machine starts.

use super::scan::{Kind, LIKE_C, NEAR, Quote, Syntax, Token, close, scan};
use super::{Draft, Source};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

const KOTLIN: Syntax = Syntax {
    block_comments: &[("/*", "*/", true)],
    strings: &[
        Quote { inserts: "${", ..Quote::raw("\"\"\"", "\"\"\"") },
        Quote { inserts: "${", ..Quote::line("\"") },
        Quote::raw("`", "`"),
    ],
    ..LIKE_C
};
const SCALA: Syntax = Syntax { word: "$", ..KOTLIN };

/// Bounds on what texts may make of this: classes in classes, the classes of a file, those of all files, and the parents
/// of one.
pub(super) const NESTED_MAX: usize = 16;
const TYPES_MAX: usize = 10_000;
const ALL_TYPES_MAX: usize = 100_000;
const PARENTS_MAX: usize = 16;

/// A class or an object of a program.
#[derive(Debug, Default)]
pub(super) struct Type<'a> {
    pub name: &'a str,
    /// The class or the package around it, by its place.
    pub outer: Option<usize>,
    pub depth: usize,
    pub is_top: bool,
    pub is_public: bool,
    /// Whether a `main` in it is static; one of a class of Scala is not, but an object may inherit it.
    pub can_start: bool,
    pub is_interface: bool,
    pub is_companion: bool,
    /// The name of a package, with a dot at its end, which is the outer name of others, and no class.
    pub package: Option<String>,
    pub parents: Vec<&'a str>,
    pub has_main: bool,
    /// A `main` that the virtual machine does not start.
    pub has_other_main: bool,
}

/// The classes of all files, those of the program first.
#[derive(Default)]
pub(super) struct Types<'a> {
    pub all: Vec<Type<'a>>,
    /// How many are of the program.
    pub own: usize,
    room: usize,
}

impl<'a> Types<'a> {
    /// How many there may be at the end of the file that is read next.
    pub fn begin_file(&mut self) -> usize {
        self.room = (self.all.len() + TYPES_MAX).min(ALL_TYPES_MAX);
        self.room
    }

    /// Whether the file that was read last may have more.
    pub fn is_full(&self) -> bool {
        self.all.len() >= self.room
    }

    /// The place of a package, if it has a name.
    pub fn package(&mut self, name: String) -> Option<usize> {
        let is_kept = !name.is_empty() && !self.is_full();
        is_kept.then(|| self.all.push(Type { package: Some(name), ..Type::default() }));
        is_kept.then(|| self.all.len() - 1)
    }

    /// As the virtual machine calls it: with its package, and `$` before the name of a nested one.
    pub fn qualified(&self, at: usize) -> String {
        let found = &self.all[at];
        let outer = found.outer.map_or_else(String::new, |outer| match self.all[outer].package {
            Some(_) => self.qualified(outer),
            None => self.qualified(outer) + "$",
        });
        outer + found.package.as_deref().unwrap_or(found.name)
    }
}

pub(super) fn kotlin<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (entry, form) = {
        let tokens = scan(&draft.text, &KOTLIN);
        let mut types = Types::default();
        object_types(&tokens, &KOTLIN_WORDS, &mut types);
        types.own = types.all.len();
        let mut in_others = None;
        for other in others {
            let tokens = scan(other.text, &KOTLIN);
            in_others = in_others.or_else(|| file_class(other.name, &tokens));
            object_types(&tokens, &KOTLIN_WORDS, &mut types);
        }
        match file_class(&draft.source, &tokens).or_else(|| own_main(&types)) {
            Some(entry) => (entry, ""),
            None if has_statements(&tokens, KOTLIN_DECLARES) => (String::new(), "script"),
            None => {
                let found = || entry_or_first(&types).map(|found| types.qualified(found));
                let entry = in_others.or_else(found);
                (entry.unwrap_or_default(), "")
            }
        }
    };
    let source = if form == "script" { "main.kts".to_string() } else { draft.source };
    Draft { source, entry, form, ..draft }
}

pub(super) fn scala<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (entry, form) = {
        let tokens = scan(&draft.text, &SCALA);
        let mut types = Types::default();
        object_types(&tokens, &SCALA_WORDS, &mut types);
        types.own = types.all.len();
        for other in others {
            object_types(&scan(other.text, &SCALA), &SCALA_WORDS, &mut types);
        }
        match own_main(&types).or_else(|| annotated_main(&tokens)) {
            Some(entry) => (entry, ""),
            None if has_statements(&tokens, SCALA_DECLARES) => (String::new(), "script"),
            None => {
                let entry = entry_or_first(&types).map(|found| types.qualified(found));
                (entry.unwrap_or_default(), "")
            }
        }
    };
    Draft { entry, form, ..draft }
}

/// The class to start: one of the source that has a `main`, else one of the other files, else the first class, of
/// which the virtual machine then says that it has none.
pub(super) fn entry(types: &Types<'_>) -> Option<usize> {
    main_of(types, 0..types.own).or_else(|| entry_or_first(types))
}

fn entry_or_first(types: &Types<'_>) -> Option<usize> {
    let own = &types.all[..types.own];
    let first = || {
        let public = own.iter().position(|found| found.is_public);
        public.or(own.iter().position(|found| found.package.is_none()))
    };
    let other = || own.iter().position(|found| found.has_other_main);
    main_of(types, types.own..types.all.len()).or_else(other).or_else(first)
}

fn own_main(types: &Types<'_>) -> Option<String> {
    main_of(types, 0..types.own).map(|found| types.qualified(found))
}

/// Of those that can be started: the public one, one called `Main`, the first one; nested ones last.
fn main_of(types: &Types<'_>, among: Range<usize>) -> Option<usize> {
    let rank =
        |found: &Type<'_>| (!found.is_top, !found.has_main, !found.is_public, found.name != "Main");
    let inherited = names_with_main(&types.all);
    let starts = among.filter(|at| {
        let found = &types.all[*at];
        found.can_start && (found.has_main || inherited.contains(found.name) && has_parents(found))
    });
    starts.min_by_key(|at| rank(&types.all[*at]))
}

/// The names of the classes that have a `main` or inherit one.
fn names_with_main<'a>(types: &[Type<'a>]) -> HashSet<&'a str> {
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for found in types.iter().filter(|found| has_parents(found)) {
        found.parents.iter().for_each(|name| children.entry(name).or_default().push(found.name));
    }
    let starts = types.iter().filter(|found| found.has_main).map(|found| found.name);
    let mut names: HashSet<&str> = starts.chain(["App"]).collect();
    let mut unread: Vec<&str> = names.iter().copied().collect();
    while let Some(name) = unread.pop() {
        let own = children.remove(name).unwrap_or_default().into_iter();
        unread.extend(own.filter(|child| names.insert(child)));
    }
    names
}

/// An interface of Java does not hand its `main` down, nor does it inherit one.
fn has_parents(found: &Type<'_>) -> bool {
    !found.parents.is_empty() && !found.is_interface
}

/// The package that a file names before anything else but annotations; in Scala one may follow another, and one with a
/// body is not that of the file.
pub(super) fn package(tokens: &[Token<'_>]) -> String {
    let mut all = String::new();
    let mut next = tokens.iter().position(|token| token.is("package") && token.depth == 0);
    while let Some(place) = next {
        let (name, end) = package_name(tokens, place);
        let sign = |place: usize| tokens.get(place).map_or("", |token| token.text);
        if name.is_empty() || sign(end) == "{" {
            break;
        }
        all.push_str(&name);
        let end = end + usize::from(sign(end) == ";");
        next = (sign(end) == "package").then_some(end);
    }
    all
}

/// The name behind `package`, with a dot at its end, and the place behind it; no name of an object's package.
fn package_name(tokens: &[Token<'_>], place: usize) -> (String, usize) {
    let mut name = String::new();
    let mut end = place + 1;
    while let Some(token) = tokens.get(end) {
        let joins = name.ends_with('.') || name.is_empty();
        let is_name = token.kind == Kind::Word && !(end == place + 1 && token.is("object"));
        match token.text {
            "." if !joins => name.push('.'),
            word if joins
                && (is_name || word.starts_with('`'))
                && !(end > place + 1 && token.begins_line) =>
            {
                name.push_str(word.trim_matches('`'));
            }
            _ => break,
        }
        end += 1;
    }
    (if name.is_empty() { name } else { name + "." }, end)
}

/// The words before a declaration, back to the end of the one before it.
pub(super) fn modifiers<'a>(tokens: &[Token<'a>], place: usize) -> Vec<&'a str> {
    let depth = tokens[place].depth;
    let before = tokens[..place].iter().rev().take(NEAR);
    let own = before.take_while(|token| {
        token.depth >= depth
            && !(token.depth == depth && matches!(token.text, ";" | "{" | "}" | "="))
    });
    own.filter(|token| token.depth == depth).filter_map(Token::word).collect()
}

/// The names after `extends`, `implements`, `with` or `:`, up to the body.
pub(super) fn parents<'a>(
    tokens: &[Token<'a>],
    begin: usize,
    depth: usize,
    marks: &[&str],
) -> Vec<&'a str> {
    let head = tokens[begin..]
        .iter()
        .take(NEAR)
        .take_while(|token| !(token.depth == depth && matches!(token.text, "{" | ";" | "}")));
    let head: Vec<&Token<'_>> = head.filter(|token| token.depth == depth).collect();
    let Some(mark) = head.iter().position(|token| marks.contains(&token.text)) else {
        return Vec::new();
    };
    let ends = head[mark + 1..]
        .iter()
        .take_while(|token| !matches!(token.text, "class" | "object" | "def" | "fun"));
    ends.filter_map(|token| token.word()).take(PARENTS_MAX).collect()
}

/// What declares types and functions in Kotlin or Scala.
struct ObjectWords {
    types: &'static [&'static str],
    objects: &'static [&'static str],
    function: &'static str,
    parents: &'static [&'static str],
    /// An annotation without which the `main` of an object is not static.
    needs: &'static str,
}

const KOTLIN_WORDS: ObjectWords = ObjectWords {
    types: &["class", "interface", "object"],
    objects: &["object"],
    function: "fun",
    parents: &[":"],
    needs: "JvmStatic",
};
const SCALA_WORDS: ObjectWords = ObjectWords {
    types: &["class", "trait", "object"],
    objects: &["object"],
    function: "def",
    parents: &["extends"],
    needs: "",
};

fn object_types<'a>(tokens: &[Token<'a>], words: &ObjectWords, known: &mut Types<'a>) {
    let room = known.begin_file();
    let package = known.package(package(tokens));
    let types = &mut known.all;
    let mut open: Vec<usize> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        close(&mut open, token, |at| types[*at].depth);
        let outer = open.last().map(|at| &types[*at]);
        let Some(word) = token.word() else { continue };
        if token.depth != outer.map_or(0, |outer| outer.depth + 1) || types.len() >= room {
            continue;
        }
        let is_function = word == words.function
            && tokens.get(place + 1).is_some_and(|next| next.text.trim_matches('`') == "main");
        if word == "package" {
            let (name, end) = package_name(tokens, place);
            let has_body = !name.is_empty() && tokens.get(end).is_some_and(|token| token.is("{"));
            if has_body && open.len() < NESTED_MAX {
                let outer = open.last().copied().or(package);
                open.push(types.len());
                let (depth, package) = (token.depth, Some(name));
                types.push(Type { outer, depth, package, ..Type::default() });
            }
        } else if words.types.contains(&word)
            && !(place > 0 && matches!(tokens[place - 1].text, "." | ":"))
        {
            let Some(found) = object_type(tokens, place, outer, words) else { continue };
            let outer = open.last().copied().or(package);
            // Without a body it encloses nothing.
            if has_body(tokens, place) && open.len() < NESTED_MAX {
                open.push(types.len());
            }
            types.push(Type { outer, ..found });
        } else if let (true, Some(at)) = (is_function, open.last().copied()) {
            let takes =
                tokens.get(place + 2).is_some_and(|next| matches!(next.text, "(" | ":" | "="));
            let is_static =
                words.needs.is_empty() || modifiers(tokens, place).contains(&words.needs);
            types[at].has_main |= takes && is_static;
            types[at].has_other_main |= takes && !is_static;
            // A static function of a companion is one of its class as well.
            if types[at].is_companion && types[at].has_main && open.len() > 1 {
                types[at].has_main = false;
                let outer = &mut types[open[open.len() - 2]];
                (outer.has_main, outer.can_start) = (true, true);
            }
        }
    }
}

fn object_type<'a>(
    tokens: &[Token<'a>],
    place: usize,
    outer: Option<&Type<'_>>,
    words: &ObjectWords,
) -> Option<Type<'a>> {
    let token = &tokens[place];
    let is_companion = place > 0 && tokens[place - 1].is("companion");
    let named = tokens.get(place + 1).filter(|next| next.kind != Kind::Sign);
    let name = match named {
        Some(next) if !next.begins_line => next.text.trim_matches('`'),
        _ if is_companion => "Companion",
        _ => return None,
    };
    let is_top = outer.is_none_or(|outer| outer.package.is_some());
    Some(Type {
        name,
        depth: token.depth,
        is_top,
        // The `main` of a nested object of Scala is not static.
        can_start: words.objects.contains(&token.text) && (is_top || !words.needs.is_empty()),
        is_companion,
        parents: parents(tokens, place, token.depth, words.parents),
        ..Type::default()
    })
}

/// Whether a `{` of its own comes before the next declaration.
fn has_body(tokens: &[Token<'_>], place: usize) -> bool {
    const NEXT: [&str; 12] = [
        "class",
        "object",
        "interface",
        "trait",
        "fun",
        "def",
        "val",
        "var",
        "import",
        "enum",
        "data",
        "sealed",
    ];
    let depth = tokens[place].depth;
    let mut after = tokens[place + 1..].iter().take(NEAR).filter(|token| token.depth <= depth);
    let end = after.find(|token| {
        matches!(token.text, "{" | "}" | ";")
            || token.depth < depth
            || token.begins_line && NEXT.contains(&token.text)
    });
    end.is_some_and(|token| token.is("{"))
}

/// The class that holds the functions of a Kotlin file, where one of them is `main`.
fn file_class(name: &str, tokens: &[Token<'_>]) -> Option<String> {
    let mut starts = tokens.windows(3).filter(|three| three[0].depth == 0);
    starts.find(|three| {
        three[0].is("fun") && three[1].text.trim_matches('`') == "main" && three[2].is("(")
    })?;
    let renamed = tokens
        .windows(5)
        .find(|five| five[0].is("file") && five[1].is(":") && five[2].is("JvmName"));
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let mut letters = stem.chars();
    let first =
        letters.next().map(|first| first.to_ascii_uppercase().to_string()).unwrap_or_default();
    let usual = format!("{first}{}Kt", letters.as_str());
    let class = renamed.and_then(|five| five[4].content()).map_or(usual, str::to_string);
    Some(package(tokens) + &class)
}

/// `@main def name` of Scala 3 makes a class of that name.
fn annotated_main(tokens: &[Token<'_>]) -> Option<String> {
    let found = tokens.windows(4).find(|four| {
        four[0].is("@") && four[1].is("main") && four[2].is("def") && four[0].depth == 0
    })?;
    Some(package(tokens) + found[3].text)
}

const KOTLIN_DECLARES: &[&str] = &[
    "package",
    "import",
    "class",
    "interface",
    "object",
    "fun",
    "typealias",
    "enum",
    "data",
    "sealed",
    "abstract",
    "open",
    "annotation",
    "private",
    "public",
    "internal",
    "protected",
    "inline",
    "infix",
    "operator",
    "suspend",
    "tailrec",
    "const",
    "lateinit",
    "external",
    "expect",
    "actual",
    "value",
    "where",
    "get",
    "set",
    "else",
];
const SCALA_DECLARES: &[&str] = &[
    "package",
    "import",
    "class",
    "trait",
    "object",
    "def",
    "type",
    "case",
    "sealed",
    "abstract",
    "final",
    "implicit",
    "private",
    "protected",
    "override",
    "lazy",
    "enum",
    "given",
    "extension",
    "export",
    "open",
    "inline",
    "with",
    "extends",
    "opaque",
    "transparent",
];

/// Whether a text does anything outside its declarations: then it is a script.
fn has_statements(tokens: &[Token<'_>], declares: &[&str]) -> bool {
    tokens.iter().enumerate().any(|(place, token)| {
        let before = place.checked_sub(1).map(|before| &tokens[before]);
        let is_begin =
            token.begins_line || before.is_some_and(|before| matches!(before.text, ";" | "}"));
        let goes_on = before.is_some_and(|before| {
            matches!(
                before.text,
                "=" | "," | "." | ":" | ">" | "+" | "-" | "*" | "/" | "&" | "|" | "("
            ) && before.kind == Kind::Sign
        });
        token.depth == 0
            && is_begin
            && !goes_on
            && token.word().is_some_and(|word| !declares.contains(&word))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Upload;
    use super::super::tests::{lay_out, uploaded};

    /// The source's name, the entry and the form.
    fn laid(language: &str, code: &str) -> [String; 3] {
        laid_with(language, code, &[])
    }

    fn laid_with(language: &str, code: &str, files: &[(&str, &str)]) -> [String; 3] {
        let files = uploaded(files);
        let found = lay_out(language, Upload { code, files: &files });
        [found.source, found.entry, found.form.to_string()]
    }

    #[test]
    fn a_main_may_be_in_an_uploaded_file() {
        let app = "package app; public class App { public static void main(String[] a) {} }";
        let [source, entry, _] = laid_with("java", "class Helper { }", &[("App.java", app)]);
        assert_eq!((&*source, &*entry), ("Main.java", "app.App"));
        let base = "public class Base { public static void main(String[] a) {} }";
        let code = "public class Sub extends Base { }";
        assert_eq!(laid_with("java", code, &[("Base.java", base)])[1], "Sub");
        let [source, entry, _] =
            laid_with("kotlin", "fun main() { hi() }", &[("main.kt", "fun hi() = 1")]);
        assert_eq!((&*source, &*entry), ("main_1.kt", "Main_1Kt"));
        let [_, entry, form] =
            laid_with("kotlin", "fun hi() = 1", &[("app.kt", "package x\nfun main() {}")]);
        assert_eq!((&*entry, &*form), ("x.AppKt", ""));
    }

    #[test]
    fn kotlin_starts_a_function_or_an_object() {
        for (code, entry, form) in [
            ("fun main() { println(1) }", "MainKt", ""),
            ("/* doc */ fun main() { println(\"hi\") }", "MainKt", ""),
            ("package a.b\nimport x.y\nsuspend fun main(args: Array<String>) {}", "a.b.MainKt", ""),
            ("@file:JvmName(\"Tool\")\nfun main() {}", "Tool", ""),
            ("object Main { @JvmStatic fun main(args: Array<String>) { } }", "Main", ""),
            ("object Main {\n  @JvmStatic\n  fun main(args: Array<String>) {\n  }\n}", "Main", ""),
            (
                "class Main { companion object { @JvmStatic fun main(args: Array<String>) {} } }",
                "Main",
                "",
            ),
            (
                "class Main {\n companion object {\n @JvmStatic\n fun main(a: Array<String>) {}\n}\n}",
                "Main",
                "",
            ),
            ("object A { fun main(args: Array<String>) { } }", "A", ""),
            ("// fun main() {}\nprintln(\"quirk\")", "", "script"),
            ("val x = 1\nprintln(x)", "", "script"),
            ("fun f() { println(1) }\nf()", "", "script"),
            ("fun f() { println(1) }", "", ""),
            ("val s = \"fun main() {\"\nprintln(s)", "", "script"),
            ("val s = \"${\"}\"} fun main() {\"; println(s)", "", "script"),
        ] {
            let [_, starts, is] = laid("kotlin", code);
            assert_eq!((&*starts, &*is), (entry, form), "{code}");
        }
    }

    #[test]
    fn scala_starts_an_object() {
        for (code, entry, form) in [
            ("object M extends App { println(1) }", "M", ""),
            ("object A extends App { }\nobject B extends App { }", "A", ""),
            ("object A extends App { }\nobject Main extends App { }", "Main", ""),
            ("object M {\n def main(args: Array[String]): Unit = println(1)\n}", "M", ""),
            ("package a.b\nobject M { def main(args: Array[String]) { } }", "a.b.M", ""),
            (
                "trait Base { def main(a: Array[String]): Unit = () }\nobject M extends Base",
                "M",
                "",
            ),
            ("package a { object M extends App }", "a.M", ""),
            (
                "package a.b {\n package c { object M { def main(a: Array[String]) {} } }\n}",
                "a.b.c.M",
                "",
            ),
            ("package a\npackage b\nobject M extends App", "a.b.M", ""),
            ("package a; package b; object M extends App", "a.b.M", ""),
            ("package object a { val x = 1 }\nobject M extends App", "M", ""),
            ("package a\npackage b { object M extends App }", "a.b.M", ""),
            ("package a { class X }\npackage b { object M extends App }", "b.M", ""),
            ("package a { object M { object In extends App }; object N extends App }", "a.N", ""),
            ("@main def run() = println(1)", "run", ""),
            ("// object X extends App\nprintln(1)", "", "script"),
            ("object M { def hi() = 1 }\nprintln(M.hi())", "", "script"),
            ("object M { def hi() = 1 }", "M", ""),
        ] {
            let [_, starts, is] = laid("scala", code);
            assert_eq!((&*starts, &*is), (entry, form), "{code}");
        }
    }
}
