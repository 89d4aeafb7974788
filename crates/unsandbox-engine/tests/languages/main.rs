// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every language on this machine, tried with the programs of `bindings-tests/languages`: one table on
//! standard output says what each passed. A language that is not installed is skipped, by name.
//!
//! `UNSANDBOX_TEST_LANGUAGES=lua,tcl` tries these alone; `UNSANDBOX_STRICT_LANGUAGES=1`, after
//! `make languages`, insists on as many languages as that can install; `UNSANDBOX_TEST_LEVEL=reduced` tries
//! them without namespaces.
#![cfg(target_os = "linux")]

mod artifacts;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod programs;
mod table;
mod wasm;

use checks::Check;
use std::collections::BTreeMap;
use std::env;
use std::io::{Write, stdout};
use std::sync::LazyLock;
use std::thread;
use std::time::Instant;
use table::Row;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::backend::LanguageInfo;
use unsandbox_protocol::language::{Language, languages};
use unsandbox_protocol::{Backend, IsolationPolicy};

/// The languages of the service; what the table of languages holds besides is beyond them.
const NAMED: &[&str] = &[
    "awk",
    "bash",
    "c",
    "clojure",
    "cobol",
    "commonlisp",
    "cpp",
    "crystal",
    "csharp",
    "d",
    "dart",
    "deno",
    "dotnet",
    "elixir",
    "erlang",
    "forth",
    "fortran",
    "fsharp",
    "go",
    "groovy",
    "haskell",
    "java",
    "javascript",
    "julia",
    "kotlin",
    "lua",
    "nim",
    "objc",
    "ocaml",
    "perl",
    "php",
    "powershell",
    "prolog",
    "python",
    "r",
    "raku",
    "ruby",
    "rust",
    "scheme",
    "tcl",
    "typescript",
    "v",
    "zig",
];
/// How many have to pass where `make languages` has run.
const NAMED_MIN: usize = 34;
const BEYOND_MIN: usize = 6;

/// One engine for all tests here: together they run no more at once than it allows.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let isolation = match env::var("UNSANDBOX_TEST_LEVEL").as_deref() {
        Ok("reduced") => IsolationPolicy::Reduced,
        _ => IsolationPolicy::default(),
    };
    let options = EngineOptions { queue_max: 10_000, isolation, ..EngineOptions::default() };
    Engine::new(options).expect("an engine can be made")
});

fn strict() -> bool {
    env::var("UNSANDBOX_STRICT_LANGUAGES").is_ok_and(|value| value == "1")
}

/// The languages to try, with what the engine says of them.
fn wanted() -> Vec<(&'static Language, LanguageInfo)> {
    let only = env::var("UNSANDBOX_TEST_LANGUAGES").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    let infos = ENGINE.languages(&Default::default()).expect("the engine knows its languages");
    let pairs = languages().iter().zip(infos);
    pairs.filter(|(language, _)| only.is_empty() || only.contains(&language.name)).collect()
}

/// Past the test harness, which would keep it back when all is well.
fn say(text: &str) {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).expect("standard output is there");
}

#[test]
fn every_language_passes_its_programs() {
    let begin = Instant::now();
    let (here, absent): (Vec<_>, Vec<_>) =
        wanted().into_iter().partition(|(_, info)| info.available == Some(true));
    let names: Vec<&str> = here.iter().map(|(language, _)| language.name).collect();
    let all: Vec<Check> = here.iter().flat_map(|(language, _)| programs::of(language)).collect();
    let count = all.len();
    let versions = versions(&names);
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for (language, info) in &here {
        let row = Row::new(language, versions.get(language.name).cloned().flatten(), info);
        rows.insert(language.name, row);
    }
    for (check, verdict) in checks::run(&ENGINE, all) {
        rows.get_mut(check.language.name).expect("it has a row").add(&check.name, verdict);
    }
    let rows: Vec<Row> = rows.into_values().collect();
    let skipped: Vec<&str> = absent.iter().map(|(language, _)| language.name).collect();
    let seconds = begin.elapsed().as_secs_f64();
    say(&table::text(&rows, &skipped));
    say(&format!("{count} programs in {seconds:.0} s\n"));
    let failed: Vec<&str> = rows.iter().filter(|row| row.failed()).map(|row| row.name).collect();
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
    if strict() {
        let (named, beyond) = table::complete(&rows);
        assert!(named >= NAMED_MIN, "{named} of the named languages passed; wanted: {NAMED_MIN}");
        assert!(beyond >= BEYOND_MIN, "{beyond} other languages passed; wanted: {BEYOND_MIN}");
    }
}

/// The versions of these languages, asked in jails as for `unsandbox languages`.
fn versions(names: &[&'static str]) -> BTreeMap<String, Option<String>> {
    let infos = ENGINE
        .languages_with_versions(&Default::default())
        .expect("the engine knows its languages");
    let infos = infos.into_iter().filter(|info| names.contains(&info.name.as_str()));
    infos.map(|info| (info.name, info.version)).collect()
}

#[test]
fn the_named_languages_are_in_the_table() {
    let known: Vec<&str> = languages().iter().map(|language| language.name).collect();
    assert_eq!(NAMED.len(), 43);
    let unknown: Vec<&&str> = NAMED.iter().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "not in languages.toml: {unknown:?}");
}

#[test]
fn callers_that_ask_for_versions_at_once_do_not_fill_the_queue() {
    // Room for the questions of one caller.
    let options = EngineOptions { queue_max: languages().len(), ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine can be made");
    let answers: Vec<_> = thread::scope(|scope| {
        let askers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| engine.languages_with_versions(&Default::default())))
            .collect();
        askers.into_iter().map(|asker| asker.join().expect("no panic")).collect()
    });
    for infos in answers {
        let infos = infos.expect("the engine knows its languages");
        let bash = infos.iter().find(|info| info.name == "bash").expect("bash is in the table");
        assert!(bash.version.is_some(), "{bash:?}");
    }
}
