// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks `languages.toml` and writes it as Rust constants: a wrong table does not compile.

use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::{env, fs, path::Path};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    language: Vec<Language>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "in_order")]
    dialects: Vec<(String, String)>,
    #[serde(default)]
    flags: Vec<String>,
    extensions: Vec<String>,
    #[serde(default)]
    interpreters: Vec<String>,
    source: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    makes: String,
    #[serde(default)]
    drops_shebang: bool,
    #[serde(default)]
    after: String,
    #[serde(default)]
    allows_nul: bool,
    #[serde(default)]
    lf_only: bool,
    /// Takes the recipes of this other language.
    #[serde(default)]
    same_as: String,
    #[serde(default)]
    choose: String,
    #[serde(default)]
    memory_mb: u64,
    #[serde(default)]
    compile_seconds: u64,
    #[serde(default)]
    recipe: Vec<Recipe>,
}

#[derive(serde::Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Recipe {
    #[serde(deserialize_with = "in_order")]
    programs: Programs,
    /// A variant of `Structure`.
    #[serde(default = "plain")]
    structure: String,
    #[serde(default)]
    compile: Vec<String>,
    run: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// A variant of `Live`.
    #[serde(default = "no")]
    live: String,
    #[serde(default)]
    artifact: Vec<String>,
    #[serde(default)]
    pack: Vec<String>,
    #[serde(default)]
    wasm: Vec<String>,
    version: Vec<String>,
    #[serde(default)]
    show: Vec<String>,
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    debian: String,
    /// Further fields for the installer of runtimes alone.
    #[serde(default, rename = "debian_also")]
    _debian_also: String,
    #[serde(default, rename = "prepare")]
    _prepare: String,
    #[serde(default)]
    pypi: String,
    #[serde(default)]
    npm: String,
    #[serde(default)]
    install: String,
    #[serde(default)]
    untested: bool,
}

fn plain() -> String {
    "Plain".to_string()
}

fn no() -> String {
    "No".to_string()
}

/// In the order of the file: the main program comes first.
type Programs = Vec<(String, Vec<String>)>;

fn in_order<'de, D: Deserializer<'de>, V: serde::Deserialize<'de>>(
    table: D,
) -> Result<Vec<(String, V)>, D::Error> {
    struct Pairs<V>(std::marker::PhantomData<V>);

    impl<'de, V: serde::Deserialize<'de>> Visitor<'de> for Pairs<V> {
        type Value = Vec<(String, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of names with their values")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    table.deserialize_map(Pairs(std::marker::PhantomData))
}

/// The hints of detection without comments and empty lines: the library holds them as text.
fn write_hints() {
    println!("cargo:rerun-if-changed=src/detect/hints.txt");
    let text = fs::read_to_string("src/detect/hints.txt").expect("hints.txt is in src/detect");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("hints.txt");
    fs::write(target, lines.collect::<Vec<_>>().join("\n")).expect("OUT_DIR is writable");
}

fn main() {
    write_hints();
    println!("cargo:rerun-if-changed=languages.toml");
    println!("cargo:rerun-if-changed=build.rs");
    let text = fs::read_to_string("languages.toml").expect("languages.toml is beside Cargo.toml");
    let mut table: Table =
        toml::from_str(&text).unwrap_or_else(|error| panic!("languages.toml: {error}"));
    table.language.sort_by(|a, b| a.name.cmp(&b.name));
    let recipes: BTreeMap<String, Vec<Recipe>> =
        table.language.iter().map(|l| (l.name.clone(), l.recipe.clone())).collect();
    for language in table.language.iter_mut().filter(|l| !l.same_as.is_empty()) {
        let other = recipes.get(&language.same_as);
        language.recipe = other.expect("same_as names a language").clone();
    }
    for recipe in table.language.iter_mut().flat_map(|language| &mut language.recipe) {
        for word in recipe.compile.iter_mut().chain(&mut recipe.run).chain(&mut recipe.pack) {
            read_script(word);
        }
    }
    let mut out = String::from("static LANGUAGES: &[Language] = &[\n");
    for language in &table.language {
        check(language);
        write_language(&mut out, language);
    }
    out.push_str("];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("languages.rs");
    fs::write(target, out).expect("OUT_DIR is writable");
}

/// `@NAME` stands for the text of a file in `recipes/`.
fn read_script(word: &mut String) {
    let Some(name) = word.strip_prefix('@') else { return };
    let path = format!("recipes/{name}");
    println!("cargo:rerun-if-changed={path}");
    *word = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn check(language: &Language) {
    let name = &language.name;
    assert!(!language.recipe.is_empty(), "languages.toml: {name} has no recipe");
    for recipe in &language.recipe {
        assert!(
            !recipe.run.is_empty() && !recipe.version.is_empty(),
            "languages.toml: {name} lacks a command"
        );
        assert!(
            !(recipe.debian.is_empty() && recipe.install.is_empty()),
            "languages.toml: {name} does not say how to install it"
        );
        let commands = [&recipe.compile, &recipe.run, &recipe.pack, &recipe.wasm, &recipe.version];
        for word in commands.into_iter().flatten() {
            check_placeholders(name, word, recipe);
        }
    }
}

const WORDS: [&str; 12] = [
    "source", "sources", "flags", "stem", "entry", "form", "build", "out", "work", "args",
    "memory", "heap",
];

/// `{word}` of lower-case letters and digits, a letter first, is a placeholder, and has to be known.
fn check_placeholders(name: &str, word: &str, recipe: &Recipe) {
    for part in word.split('{').skip(1) {
        let Some((inner, _)) = part.split_once('}') else {
            continue;
        };
        let is_name = inner.starts_with(|c: char| c.is_ascii_lowercase())
            && inner.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let known =
            WORDS.contains(&inner) || recipe.programs.iter().any(|(program, _)| program == inner);
        assert!(!is_name || known, "languages.toml: {name}: {{{inner}}} in {word:?} is not known");
    }
}

fn write_language(out: &mut String, language: &Language) {
    let Language {
        name,
        aliases,
        dialects,
        flags,
        extensions,
        interpreters,
        source,
        sources,
        makes,
        drops_shebang,
        after,
        allows_nul,
        lf_only,
        choose,
        memory_mb,
        compile_seconds,
        recipe,
        ..
    } = language;
    let _ = writeln!(
        out,
        "Language {{ name: {name:?}, aliases: &{aliases:?}, dialects: &{dialects:?}, flags: &{flags:?}, extensions: &{extensions:?}, interpreters: &{interpreters:?}, \
         source: {source:?}, sources: &{sources:?}, makes: {makes:?}, \
         drops_shebang: {drops_shebang}, after: {after:?}, allows_nul: {allows_nul}, lf_only: {lf_only}, choose: {choose:?}, memory_mb: {memory_mb}, \
         compile_seconds: {compile_seconds}, recipes: &["
    );
    for recipe in recipe {
        let programs: Vec<String> =
            recipe.programs.iter().map(|(k, v)| format!("({k:?}, &{v:?} as &[&str])")).collect();
        let env: Vec<(&String, &String)> = recipe.env.iter().collect();
        let Recipe { structure, compile, run, artifact, pack, wasm, version, show, beside, .. } =
            recipe;
        let Recipe { live, debian, pypi, npm, install, untested, .. } = recipe;
        let _ = writeln!(
            out,
            "Recipe {{ programs: &[{}], structure: Structure::{structure}, compile: &{compile:?}, run: &{run:?}, env: &{env:?}, live: Live::{live}, artifact: &{artifact:?}, \
             pack: &{pack:?}, wasm: &{wasm:?}, version: &{version:?}, show: &{show:?}, beside: &{beside:?}, \
             debian: {debian:?}, pypi: {pypi:?}, npm: {npm:?}, install: {install:?}, untested: {untested} }},",
            programs.join(", ")
        );
    }
    out.push_str("] },\n");
}
