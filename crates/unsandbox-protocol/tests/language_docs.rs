// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/languages.md` against the table of languages. `UNSANDBOX_WRITE_DOCS=1` writes its list anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use unsandbox_protocol::language::{Language, Recipe, languages};
use unsandbox_protocol::limits::COMPILE_TIME_MAX;

const BEGIN: &str = "<!-- languages: written from languages.toml by the test language_docs -->\n";
const END: &str = "<!-- /languages -->";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/languages.md")).expect("the page is there")
}

/// Where it comes from: the package of the recipe that is offered, or words.
fn source(language: &Language) -> String {
    let recipe = language.offered();
    let packages = [("PyPI", recipe.pypi), ("npm", recipe.npm), ("Debian", recipe.debian)];
    let package = packages.iter().find(|(_, package)| !package.is_empty());
    let words = match package {
        Some((registry, package)) => format!("{registry}: `{package}`"),
        None => recipe.install.to_string(),
    };
    if recipe.untested { format!("{words} (untested)") } else { words }
}

/// The bound on each step beside the run.
fn compiling(language: &Language) -> String {
    let has_step = |recipe: &Recipe| !recipe.compile.is_empty() || !recipe.pack.is_empty();
    match language.recipes.iter().any(has_step) {
        true => format!("{} s", language.compile_time().as_secs()),
        false => "–".to_string(),
    }
}

fn list() -> String {
    let mut text = format!(
        "The step that compiles has the time under \"compiling\", beside the ttl, and so has each step that makes what\n\
         `return_artifact` or `return_wasm_artifact` gives. No language has more than {} s.\n\n\
         | name | aliases | extensions | compiling | from |\n|---|---|---|---|---|\n",
        COMPILE_TIME_MAX.as_secs()
    );
    for language in languages() {
        let (name, aliases) = (language.name, language.aliases.join(", "));
        let extensions = language.extensions.join(", ");
        let (compiling, source) = (compiling(language), source(language));
        let _ = writeln!(text, "| `{name}` | {aliases} | {extensions} | {compiling} | {source} |");
    }
    text.push_str("\nFlags that a request may give to the compiler (`flags`), and names of standards that stand for one:\n\n");
    text.push_str("| name | flags | standards |\n|---|---|---|\n");
    for language in languages().iter().filter(|language| !language.flags.is_empty()) {
        let quoted = |words: &mut dyn Iterator<Item = &str>| {
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
        };
        let flags = quoted(&mut language.flags.iter().copied());
        let dialects = quoted(&mut language.dialects.iter().map(|(name, _)| *name));
        let _ = writeln!(text, "| `{}` | {flags} | {dialects} |", language.name);
    }
    text
}

#[test]
fn the_page_lists_the_table() {
    let page = page();
    let (before, rest) = page.split_once(BEGIN).expect("the list's first mark is there");
    let (written, after) = rest.split_once(END).expect("the list's last mark is there");
    let list = list();
    if std::env::var_os("UNSANDBOX_WRITE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{list}{END}{after}");
        fs::write(root().join("docs/languages.md"), page).expect("the page can be written");
        return;
    }
    assert!(written == list, "docs/languages.md is behind; UNSANDBOX_WRITE_DOCS=1 writes it anew");
}

/// The text of the first block that is marked as `kind`.
fn block<'a>(text: &'a str, kind: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{kind}\n")).expect("there is such a block");
    rest.split_once("```").expect("it ends").0
}

#[test]
fn the_example_is_what_the_build_reads_in_under_twenty_lines() {
    let page = page();
    let (entry, program) = (block(&page, "toml"), block(&page, "vala"));
    assert!(entry.lines().count() + program.lines().count() < 20);
    let table = fs::read_to_string(root().join("crates/unsandbox-protocol/languages.toml"));
    assert!(table.expect("the table is there").contains(&format!("\n{entry}\n")), "{entry}");
    let hello = fs::read_to_string(root().join("bindings-tests/languages/vala/hello.vala"));
    assert_eq!(hello.expect("the program is there"), program);
}

/// The fields that the build knows: those of its structs `Language` and `Recipe`.
fn fields() -> BTreeSet<String> {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    let build = fs::read_to_string(build).expect("the build script is there");
    let structs = ["struct Language {\n", "struct Recipe {\n"].map(|head| {
        let (_, rest) = build.split_once(head).expect("the build script has this struct");
        rest.split_once("\n}").expect("it ends").0
    });
    let lines = structs.iter().flat_map(|body| body.lines());
    let names = lines.filter_map(|line| line.trim().split_once(": "));
    let names = names.map(|(name, _)| name.trim_start_matches('_'));
    let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    names.filter(is_name).filter(|name| *name != "recipe").map(str::to_string).collect()
}

#[test]
fn the_page_explains_every_field_of_an_entry() {
    let page = page();
    let (_, rest) = page.split_once("All fields, of the language:").expect("the list is there");
    let (tables, _) = rest.split_once("\nIn commands").expect("it ends");
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let explained: BTreeSet<String> = rows
        .flat_map(|(names, _)| names.split(", ").map(|name| name.trim_matches('`').to_string()))
        .collect();
    assert_eq!(explained, fields());
}
