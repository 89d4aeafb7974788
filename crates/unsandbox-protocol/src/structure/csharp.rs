// SPDX-License-Identifier: MIT OR Apache-2.0
//! C# with statements outside every class, which the compiler of Mono does not know: they are put into a `Main`, between
//! the directives and the types. The SDK's compiler takes the text as it is.

use super::scan::{
    LIKE_C, NEAR, Quote, Syntax, Token, close, expressions, is_arrow, looked_at, opening, scan,
};
use super::{Draft, ENTRY_MAX_BYTES, Source};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

const CSHARP: Syntax = Syntax {
    strings: &[
        Quote { doubles: true, ..Quote::raw("$@\"", "\"") },
        Quote { doubles: true, ..Quote::raw("@$\"", "\"") },
        Quote { doubles: true, ..Quote::raw("@\"", "\"") },
        Quote::raw("\"\"\"", "\"\"\""),
        Quote { open: "$\"", inserts: "{", ..Quote::line("\"") },
        Quote::line("\""),
    ],
    word: "@",
    directives: true,
    ..LIKE_C
};

/// The namespaces that the SDK's compiler imports by itself.
const IMPLICIT: [&str; 6] = [
    "System",
    "System.Collections.Generic",
    "System.IO",
    "System.Linq",
    "System.Threading",
    "System.Threading.Tasks",
];

/// Classes with a `Main`, of which one is chosen.
const MAINS_MAX: usize = 1_000;
/// What is put on a line of its own keeps its column up to here.
const COLUMN_MAX: usize = 100;

pub(super) fn csharp<'a>(draft: Draft<'a>, others: &[Source<'_>]) -> Draft<'a> {
    let (written, own) = {
        let tokens = scan(&draft.text, &CSHARP);
        // A longer text would lose its end.
        let is_whole = looked_at(&draft.text).1.is_empty();
        let parts = Parts::of(&tokens);
        let written = match parts.has_statements && is_whole {
            true => Some(parts.written(&draft.text, &tokens)),
            false => waiting_main(&draft.text, &tokens).map(|text| (text, "")),
        };
        (written, mains(&tokens))
    };
    let theirs = others.iter().flat_map(|other| mains(&scan(other.text, &CSHARP)));
    let all: Vec<String> = own.into_iter().chain(theirs).take(MAINS_MAX).collect();
    match written {
        Some((text, class)) if !class.is_empty() => {
            let entry = if all.is_empty() { String::new() } else { class.to_string() };
            Draft { text: Cow::Owned(text), form: "statements", entry, ..draft }
        }
        Some((text, _)) => Draft { text: Cow::Owned(text), entry: chosen(all), ..draft },
        None => Draft { entry: chosen(all), ..draft },
    }
}

/// A `Main` that waits, which the compiler does not start, is given one beside it that does.
fn waiting_main(text: &str, tokens: &[Token<'_>]) -> Option<String> {
    let is_main = |place: usize| {
        let next = tokens.get(place + 1).is_some_and(|next| next.is("("));
        tokens[place].is("Main") && next && tokens[place].depth > 0
    };
    let mut places = (0..tokens.len()).filter(|place| is_main(*place));
    let place = places.next().filter(|_| places.next().is_none())?;
    let depth = tokens[place].depth;
    let begin = tokens[..place].iter().rposition(|token| {
        token.depth < depth || token.depth == depth && matches!(token.text, ";" | "}" | "]")
    })? + 1;
    let head = &tokens[begin..place];
    let has = |word: &str| head.iter().any(|token| token.is(word));
    if !has("static") || !has("Task") {
        return None;
    }
    const ARGS: &str = "var all = System.Environment.GetCommandLineArgs(); var own = new string[all.Length - 1]; \
                        System.Array.Copy(all, 1, own, 0, own.Length);";
    let takes_args = !tokens.get(place + 2)?.is(")");
    let (parameters, args, given) = match takes_args {
        true => ("", ARGS, "own"),
        false => ("string[] args", "", ""),
    };
    let call = format!("Main({given}).GetAwaiter().GetResult();");
    let beside = match has("<") {
        true => format!("static int Main({parameters}) {{ {args} return {call} }} "),
        false => format!("static void Main({parameters}) {{ {args} {call} }} "),
    };
    // Before the attributes of the method, on its line.
    let at = head.first().map_or(tokens[place].at, |first| first.at);
    Some(format!("{}{beside}{}", &text[..at], &text[at..]))
}

/// Where several classes have a `Main`, one called `Main` or `Program`, else the first one, of the source if it has one;
/// the compiler finds a single one by itself.
fn chosen(all: Vec<String>) -> String {
    let is_usual = |name: &&String| {
        matches!(name.rsplit(['.', '+']).next().unwrap_or_default(), "Main" | "Program")
    };
    let usual = all.iter().find(is_usual).or(all.first());
    usual.filter(|_| all.len() > 1).cloned().unwrap_or_default()
}

/// The classes that have a static `Main`, as the compiler calls them.
fn mains(tokens: &[Token<'_>]) -> Vec<String> {
    const NESTED_MAX: usize = 16;
    let mut found: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    let mut file_space = 0..0;
    // Where their names are, with the sign that joins the next one, and their depths.
    let mut open: Vec<(Range<usize>, &str, usize)> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        close(&mut open, token, |(_, _, depth)| *depth);
        let inner = open.last().map_or(0, |(_, _, depth)| depth + 1);
        if token.depth != inner || token.word().is_none() || found.len() == MAINS_MAX {
            continue;
        }
        let next = |count: usize| tokens.get(place + count).map_or("", |token| token.text);
        let is_type = matches!(token.text, "class" | "struct" | "interface" | "record")
            && declares_at(tokens, place).is_some();
        if token.is("namespace") || is_type {
            let named = tokens[place + 1..].iter().take(NEAR);
            let name = named.take_while(|token| token.word().is_some() || token.is("."));
            let name = place + 1..place + 1 + name.take(NESTED_MAX).count();
            let ends =
                tokens[place..].iter().take(NEAR).find(|token| matches!(token.text, ";" | "{"));
            let has_body = ends.is_some_and(|end| end.is("{"));
            if token.is("namespace") && !has_body {
                file_space = name;
            } else if has_body && open.len() < NESTED_MAX {
                open.push((name, if token.is("namespace") { "." } else { "+" }, token.depth));
            }
        } else if token.is("Main") && matches!(next(1), "(") && is_static(tokens, place) {
            let name = whole_name(tokens, &file_space, &open);
            found.extend(name.filter(|name| known.insert(name.clone())));
        }
    }
    found
}

/// The name of the innermost of these, if the compiler can be told it.
fn whole_name(
    tokens: &[Token<'_>],
    file_space: &Range<usize>,
    open: &[(Range<usize>, &str, usize)],
) -> Option<String> {
    let space = (file_space, if file_space.is_empty() { "" } else { "." });
    let (last, outer) = open.split_last()?;
    let outer = outer.iter().map(|(name, joins, _)| (name, *joins));
    let all = [space].into_iter().chain(outer).chain([(&last.0, "")]);
    let pieces = all.flat_map(|(name, joins)| {
        tokens[name.clone()].iter().map(|token| token.text).chain([joins])
    });
    let len: usize = pieces.clone().map(str::len).sum();
    (len <= ENTRY_MAX_BYTES).then(|| pieces.collect())
}

/// Whether `static` stands before the name of this method.
fn is_static(tokens: &[Token<'_>], place: usize) -> bool {
    let depth = tokens[place].depth;
    let before = tokens[..place].iter().rev().take(NEAR);
    let mut own = before.take_while(|token| {
        token.depth >= depth && !(token.depth == depth && matches!(token.text, ";" | "{" | "}"))
    });
    own.any(|token| token.is("static"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Using,
    /// A local function, which mcs does not know: it becomes a method.
    Function,
    Type,
    Statement,
}

/// The text outside every bracket, in pieces; ranges of tokens.
struct Parts {
    all: Vec<(Part, Range<usize>)>,
    /// More than directives, which a program with a class has as well.
    has_statements: bool,
}

impl Parts {
    fn of(tokens: &[Token<'_>]) -> Parts {
        let mut all: Vec<(Part, Range<usize>)> = Vec::new();
        let mut has_statements = false;
        let mut begin = 0;
        while begin < tokens.len() {
            let (part, end) = part_at(tokens, begin);
            let is_directive = tokens[begin].text.starts_with('#');
            has_statements |= part == Part::Statement && !is_directive;
            match all.last_mut() {
                Some((last, range))
                    if *last == part && matches!(part, Part::Type | Part::Statement) =>
                {
                    range.end = end;
                }
                _ => all.push((part, begin..end)),
            }
            begin = end;
        }
        Parts { all, has_statements }
    }

    fn ranges(&self, wanted: Part) -> impl Iterator<Item = &Range<usize>> {
        self.all.iter().filter(move |(part, _)| *part == wanted).map(|(_, range)| range)
    }

    /// The program with a `Main`, and the name of its class.
    fn written(&self, text: &str, tokens: &[Token<'_>]) -> (String, &'static str) {
        let mut out = String::new();
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let place = |out: &mut String, range: &Range<usize>| {
            let (first, last) = (&tokens[range.start], &tokens[range.end - 1]);
            let before = ends.partition_point(|end| *end < first.at);
            let line = before + 1;
            // What is before it on its line keeps its column.
            let column = first.at - before.checked_sub(1).map_or(0, |before| ends[before] + 1);
            let column = if column <= COLUMN_MAX { column } else { 0 };
            out.push_str(&format!("\n#line {line} \"main.cs\"\n{}", " ".repeat(column)));
            out.push_str(&text[first.at..last.end()]);
        };
        self.ranges(Part::Using).for_each(|range| place(&mut out, range));
        let named: Vec<String> =
            self.ranges(Part::Using).map(|range| words(&tokens[range.clone()])).collect();
        let implicit = IMPLICIT
            .iter()
            .filter(|space| !named.iter().any(|named| *named == format!("using{space};")));
        implicit.for_each(|space| out.push_str(&format!("\nusing {space};")));
        let statements: Vec<Token<'_>> = self
            .ranges(Part::Statement)
            .flat_map(|range| tokens[range.clone()].iter().copied())
            .collect();
        let Outside { returns, awaits } = Outside::of(&statements);
        let (open, close) = main_method(returns, awaits);
        let is_taken = tokens.windows(2).enumerate().any(|(at, two)| {
            let is_partial = at > 0 && tokens[at - 1].is("partial");
            two[0].is("class") && two[1].is("Program") && !is_partial
        });
        let class = if is_taken { "MainProgram" } else { "Program" };
        out.push_str(&format!("\npartial class {class} {{"));
        for range in self.ranges(Part::Function) {
            let is_static = tokens[range.start].is("static");
            out.push_str(if is_static { "\n" } else { "\nstatic" });
            place(&mut out, range);
        }
        out.push_str(&format!("\n{open}"));
        self.ranges(Part::Statement).for_each(|range| place(&mut out, range));
        out.push_str(&format!("\n#line hidden\n{close} }}"));
        self.ranges(Part::Type).for_each(|range| place(&mut out, range));
        out.push('\n');
        (out, class)
    }
}

fn words(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// The kind of the part that begins here, and its end.
fn part_at(tokens: &[Token<'_>], begin: usize) -> (Part, usize) {
    let next = |place: usize| tokens.get(place).map_or("", |token| token.text);
    // The first of these outside brackets: a statement may have a block, and so may a type.
    let ends_at = |ends: &[&str]| {
        let is_end = |token: &Token<'_>| token.depth == 0 && ends.iter().any(|end| token.is(end));
        tokens[begin..].iter().position(is_end).map_or(tokens.len(), |place| begin + place + 1)
    };
    let first = &tokens[begin];
    if first.text.starts_with('#') {
        let is_first = ["#define", "#undef", "#r"].iter().any(|word| first.text.starts_with(word));
        return (if is_first { Part::Using } else { Part::Statement }, begin + 1);
    }
    if first.is("using")
        && !matches!(next(begin + 1), "(" | "var" | "await")
        && is_directive(tokens, begin)
    {
        return (Part::Using, ends_at(&[";"]));
    }
    if first.is("extern") && next(begin + 1) == "alias" {
        return (Part::Using, ends_at(&[";"]));
    }
    if first.is("[") && matches!(next(begin + 1), "assembly" | "module") {
        return (Part::Using, ends_at(&["]"]));
    }
    let attributes = attributes_end(tokens, begin);
    match declares_at(tokens, attributes) {
        Some("delegate") => (Part::Type, ends_at(&[";"])),
        Some(_) => (Part::Type, ends_at(&[";", "}"])),
        None if is_function(&tokens[begin..]) => (Part::Function, ends_at(&[";", "}"])),
        None => (Part::Statement, ends_at(&[";", "}"])),
    }
}

/// `T F(…) { … }` or `T F(…) => …;`: words, a list of parameters, and a body.
fn is_function(tokens: &[Token<'_>]) -> bool {
    const OTHERS: [&str; 14] = [
        "if", "for", "foreach", "while", "switch", "using", "lock", "fixed", "return", "new",
        "await", "throw", "else", "do",
    ];
    let near = &tokens[..tokens.len().min(NEAR)];
    let Some(open) = near.iter().position(|token| token.depth == 0 && token.is("(")) else {
        return false;
    };
    let head = &near[..open];
    let is_head = |token: &Token<'_>| {
        token.word().is_some_and(|word| !OTHERS.contains(&word))
            || matches!(token.text, "<" | ">" | "[" | "]" | "?" | "." | ",")
    };
    let close = near[open + 1..].iter().position(|token| token.depth == 0 && token.is(")"));
    let after = close.and_then(|close| near.get(open + close + 2..)).unwrap_or_default();
    // `where T : class` stands between.
    let bound = after.first().is_some_and(|token| token.is("where"));
    let bounds = after.iter().take_while(|token| bound && !matches!(token.text, "{" | "=" | ";"));
    let after = &after[bounds.count()..];
    let has_body = match after {
        [first, ..] if first.is("{") => true,
        [first, second, ..] => first.is("=") && second.is(">"),
        _ => false,
    };
    let words = head.iter().filter(|token| token.word().is_some()).count();
    let is_named = words > 1 && !head.last().is_some_and(|token| matches!(token.text, "." | ","));
    has_body && is_named && head.iter().all(is_head)
}

/// `using A.B;`, `using static A;`, `using A = B;`, and not `using A b = …;`.
fn is_directive(tokens: &[Token<'_>], begin: usize) -> bool {
    let head = &tokens[begin + 1..];
    let head = &head[..head.len().min(NEAR)];
    let ends = |token: &Token<'_>| matches!(token.text, ";" | "=");
    let head = &head[..head.iter().position(ends).unwrap_or(head.len())];
    let is_static = head.first().is_some_and(|first| matches!(first.text, "static" | "global"));
    let joins = |two: &[Token<'_>]| two[0].is(".") || matches!(two[1].text, "." | ":");
    is_static || head.windows(2).all(joins)
}

fn attributes_end(tokens: &[Token<'_>], begin: usize) -> usize {
    let mut place = begin;
    while tokens.get(place).is_some_and(|token| token.is("[")) {
        let closing = tokens[place + 1..].iter().position(|token| token.depth == 0);
        let closing = closing.map_or(tokens.len(), |closing| place + 1 + closing);
        if tokens.get(closing).is_some_and(|token| !token.is("]")) {
            break; // a bracket of another kind, in a text that does not compile
        }
        place = closing + 1;
    }
    place
}

/// The word that declares a type or a namespace, after its modifiers.
fn declares_at<'a>(tokens: &[Token<'a>], begin: usize) -> Option<&'a str> {
    const MODIFIERS: [&str; 12] = [
        "public",
        "internal",
        "private",
        "protected",
        "static",
        "sealed",
        "abstract",
        "partial",
        "readonly",
        "unsafe",
        "ref",
        "new",
    ];
    let rest = tokens.get(begin..)?;
    let place = rest.iter().position(|token| !MODIFIERS.contains(&token.text))?;
    let kind = rest[place].word()?;
    let is_named = rest.get(place + 1).is_some_and(|next| next.word().is_some());
    let declares = matches!(
        kind,
        "class" | "struct" | "interface" | "enum" | "delegate" | "namespace" | "record"
    );
    (declares && is_named).then_some(kind)
}

/// What statements do outside every function in them.
#[derive(Default)]
struct Outside {
    /// Whether they return a value.
    returns: bool,
    awaits: bool,
}

impl Outside {
    fn of(tokens: &[Token<'_>]) -> Outside {
        let mut outside = Outside::default();
        let mut functions: Vec<usize> = Vec::new();
        for (place, token) in tokens.iter().enumerate() {
            close(&mut functions, token, |depth| *depth);
            if token.is("{") && begins_function(tokens, place) {
                functions.push(token.depth);
            }
            let next = tokens.get(place + 1).map_or("", |next| next.text);
            let returns = token.is("return") && next != ";";
            if (returns || token.is("await") || awaits_inside(token))
                && functions.is_empty()
                && !in_arrow(tokens, place)
            {
                outside.returns |= returns;
                outside.awaits |= !returns;
            }
        }
        outside
    }
}

/// Whether a string waits in one of its expressions.
fn awaits_inside(token: &Token<'_>) -> bool {
    let texts = || expressions(token.text, "{", &CSHARP).into_iter();
    token.text.starts_with("$\"") && texts().any(|text| text.trim_start().starts_with("await "))
}

/// Whether this `{` begins the body of a lambda or of a local function.
fn begins_function(tokens: &[Token<'_>], place: usize) -> bool {
    let Some(before) = place.checked_sub(1) else { return false };
    if tokens[before].is(">") {
        return is_arrow(tokens, before);
    }
    if !tokens[before].is(")") {
        return tokens[before].is("delegate");
    }
    let opening = opening(tokens, before);
    let word = opening.and_then(|opening| opening.checked_sub(1)).map_or("", |at| tokens[at].text);
    const CONTROL: [&str; 9] =
        ["if", "for", "foreach", "while", "switch", "using", "lock", "catch", "fixed"];
    let creates = opening.is_some_and(|at| {
        tokens[..at]
            .iter()
            .rev()
            .take(8)
            .take_while(|token| !matches!(token.text, ";" | "{" | "}" | "="))
            .any(|token| token.is("new"))
    });
    !creates && !CONTROL.contains(&word) && word != "when"
}

/// Whether the expression before it is a lambda without braces.
fn in_arrow(tokens: &[Token<'_>], place: usize) -> bool {
    let depth = tokens[place].depth;
    let before = tokens[..place].iter().enumerate().rev().take(NEAR);
    let mut own = before.take_while(|(_, token)| {
        token.depth >= depth
            && !(token.depth == depth && matches!(token.text, ";" | "," | "{" | "}"))
    });
    own.any(|(at, token)| token.depth == depth && is_arrow(tokens, at))
}

/// What is before and after the statements.
fn main_method(returns: bool, awaits: bool) -> (&'static str, &'static str) {
    const RUN: &str = "static int Main(string[] args) { return Run(args).GetAwaiter().GetResult(); } \
                       static async System.Threading.Tasks.Task<int> Run(string[] args) {";
    const RUN_ALONE: &str = "static void Main(string[] args) { Run(args).GetAwaiter().GetResult(); } \
                             static async System.Threading.Tasks.Task Run(string[] args) {";
    match (returns, awaits) {
        (true, true) => (RUN, "return 0; }"),
        (false, true) => (RUN_ALONE, "}"),
        (true, false) => ("static int Main(string[] args) {", "return 0; }"),
        (false, false) => ("static void Main(string[] args) {", "}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lay_out;
    use super::super::{Layout, Upload};

    fn laid(code: &str) -> Layout<'_> {
        lay_out("csharp", Upload { code, files: &[] })
    }

    #[test]
    fn a_program_with_a_class_stays_as_it_is() {
        for code in [
            "using System; class P { static void Main() { } }",
            "namespace A { class P { static int Main() => 3; } }",
            "// Console.WriteLine(1);\n[assembly: X]\n[Serializable] public sealed class P { }",
            "#region a\nusing static System.Math;\npublic enum E { A }\ndelegate void D();\n",
        ] {
            let found = laid(code);
            assert_eq!((&*found.text, found.form), (code, ""));
        }
    }

    #[test]
    fn one_of_several_classes_with_a_main_is_started() {
        let files = [("B.cs".to_string(), b"class B { static void Main() { } }".to_vec())];
        let entry = |code, files| lay_out("csharp", Upload { code, files }).entry;
        for (code, name) in [
            ("class A { static void Main() { } }", ""),
            (
                "class A { static void Main() { } } class B { static int Main(string[] a) => 1; }",
                "A",
            ),
            (
                "class A { static void Main() { } } class Program { static void Main() { } }",
                "Program",
            ),
            (
                "namespace X.Y { class A { public static void Main() { } class In { static async Task Main() { } } } }",
                "X.Y.A",
            ),
            (
                "namespace X;\nclass A { static void Main() { } } struct Main { static void Main() { } }",
                "X.Main",
            ),
            (
                "class A { static void Main() { } } class B { void Main() { } /* static void Main() */ }",
                "",
            ),
        ] {
            assert_eq!(entry(code, &[]), name, "{code}");
        }
        assert_eq!(entry("class A { static void Main() { } }", &files), "A");
        assert_eq!(entry("class A { }", &files), "");
        assert_eq!(entry("Console.WriteLine(1);", &files), "Program");
    }

    #[test]
    fn a_main_that_waits_is_started_by_another() {
        for (code, beside) in [
            (
                "class P { static async Task Main() { } }",
                "class P { static void Main(string[] args) {  Main().Get",
            ),
            (
                "class P { int x; public static async Task<int> Main(string[] a) { } }",
                "int x; static int Main() { var all",
            ),
            (
                "class P { public static Task Main(string[] a) => F(); }",
                "Main(own).GetAwaiter().GetResult(); } public static Task",
            ),
        ] {
            let found = laid(code);
            assert!(found.text.contains(beside), "{}", found.text);
        }
        let both = "class P { static void Main() { Main(1); } static async Task Main(int x) { } }";
        assert_eq!(laid(both).text, both);
    }

    #[test]
    fn statements_are_put_into_a_main_before_the_types() {
        let text = laid("using System.Text;\nvar p = new Pt();\nclass Pt { public int X = 7; }\nConsole.WriteLine(p.X);").text.into_owned();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
        let order = [
            "using System.Text;",
            "using System.Linq;",
            "static void Main",
            "var p",
            "p.X",
            "class Pt",
        ];
        assert!(order.windows(2).all(|two| at(two[0]) < at(two[1])), "{text}");
        assert!(text.contains("#line 4 \"main.cs\""), "{text}");
    }

    #[test]
    fn main_returns_and_waits_as_the_statements_do() {
        for (code, main) in [
            ("Console.WriteLine(1); return 3;", "static int Main"),
            ("if (args.Length > 0) { return 1; } Console.WriteLine(1);", "static int Main"),
            ("Func<int> f = () => { return 3; }; f();", "static void Main"),
            ("int F(int x) { return x; } F(1);", "static void Main"),
            ("foreach (var x in y) { if (x) return; }", "static void Main"),
            ("await Task.Delay(1);", "async System.Threading.Tasks.Task Run"),
            ("Func<Task> f = async () => await Task.Delay(1); f().Wait();", "static void Main"),
            (
                "using var x = new StreamReader(\"a\"); await x.ReadAsync(); return 2;",
                "Task<int> Run",
            ),
            ("var s = @\"class X { \"\"\"; Console.Write($\"{s.Length}\");", "static void Main"),
            ("Console.WriteLine($\"n {args.Length}\"); return args.Length;", "static int Main"),
            ("Console.WriteLine($\"n {await F()}\");", "async System.Threading.Tasks.Task Run"),
            (
                "int F(int x) => 2 * x; Console.WriteLine(F(2));",
                "\nstatic\n#line 1 \"main.cs\"\nint F",
            ),
            ("static async Task<int> F<T>(List<T> x) { return 1; } F(null);", "\n\n#line 1"),
            ("T Id<T>(T x) where T : class { return x; } Id(args);", "\nT Id<T>"),
            ("#if A\nConsole.Write(1);\n#endif\nConsole.Write(2);", "Write(1);\n#endif"),
        ] {
            let found = laid(code);
            assert!(found.text.contains(main), "{code}: {}", found.text);
            assert_eq!(found.form, "statements");
        }
    }
}
