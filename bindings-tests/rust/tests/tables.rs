// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of docs/ are the protocol's: compared here, written with `UNSANDBOX_UPDATE=1`. So are
//! docs/openapi.json and its page.

#[path = "tables/openapi_page.rs"]
mod openapi_page;

use openapi_page::{operations, schemas};
use std::fs;
use std::path::Path;
use unsandbox::protocol::error::{ERROR_TABLE, Retry};
use unsandbox::protocol::limits::{
    self, LIMIT_TABLE, TTL_DEFAULT_SECONDS, TTL_MAX_SECONDS, TTL_MIN_SECONDS,
};
use unsandbox::protocol::openapi;
use unsandbox::protocol::wire::{OPTION_TABLE, OptionReach};

#[test]
fn the_errors_are_those_of_the_protocol() {
    compare("docs/reference/errors.md", [("errors", errors())]);
}

#[test]
fn the_limits_are_those_of_the_protocol() {
    compare("docs/limits.md", [("limits", limit_rows()), ("bounds", bounds())]);
}

#[test]
fn the_options_over_http_are_those_of_the_protocol() {
    compare("docs/reference/http.md", [("options", options())]);
}

#[test]
fn the_openapi_document_is_the_protocols() {
    let document = openapi::document();
    let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
    keep("docs/openapi.json", &text);
    compare(
        "docs/reference/openapi.md",
        [("operations", operations(&document)), ("schemas", schemas(&document))],
    );
}

fn compare<const N: usize>(page: &str, tables: [(&str, String); N]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let committed = fs::read_to_string(&path).expect(page);
    let mut wanted = committed.clone();
    for (name, table) in tables {
        let begin = format!("<!-- table: {name} -->\n");
        let at = wanted.find(&begin).unwrap_or_else(|| panic!("no place for {name}")) + begin.len();
        let end = at + wanted[at..].find("<!-- end -->").expect("the table's end");
        wanted.replace_range(at..end, &table);
    }
    keep(page, &wanted);
}

/// Compares a committed file with what it shall be, or writes it.
fn keep(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if std::env::var_os("UNSANDBOX_UPDATE").is_some() {
        fs::write(&path, wanted).expect("the file is writable");
    } else {
        let committed = fs::read_to_string(&path).expect(file);
        assert!(committed == wanted, "{file} is not up to date; run with UNSANDBOX_UPDATE=1");
    }
}

fn options() -> String {
    let head = "\n| key | what | also read | in the query of `/run` | at the service |\n|---|---|---|---|---|\n";
    let mut table = head.to_string();
    for row in OPTION_TABLE.iter().filter(|row| row.reach != OptionReach::Local) {
        let others = row.keys.iter().filter(|key| **key != row.name);
        let others: Vec<String> = others.map(|key| format!("`{key}`")).collect();
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let (query, service) =
            (yes(row.query.is_some()), yes(row.reach == OptionReach::Everywhere));
        let (name, means, others) = (row.name, row.means, others.join(", "));
        table += &format!("| `{name}` | {means} | {others} | {query} | {service} |\n");
    }
    table + "\n"
}

fn errors() -> String {
    let mut table =
        "\n| code | means | on the wire | Python, also a | may the caller repeat it? |\n|---|---|---|---|---|\n"
            .to_string();
    for row in ERROR_TABLE {
        let wire = match (row.http_status, row.wire) {
            (0, _) => "–".to_string(),
            (status, word) => format!("{status} `{word}`"),
        };
        let python = match row.python_base {
            "" => format!("`{}`", row.python),
            base => format!("`{}`, `{base}`", row.python),
        };
        let retry = match row.retry {
            Retry::No => "no",
            Retry::Yes => "yes",
            Retry::IfNotSent => "if nothing was sent",
            Retry::Idempotent => "calls that submit nothing",
            Retry::Ask => "the caller decides",
        };
        table += &format!("| `{}` | {} | {wire} | {python} | {retry} |\n", row.name, row.means);
    }
    table + "\n"
}

fn limit_rows() -> String {
    let mut table =
        "\n| limit | what | default | smallest | largest |\n|---|---|---|---|---|\n".to_string();
    for row in LIMIT_TABLE {
        let default = row.default.map_or("none".to_string(), |value| shown(row.name, value));
        let (min, max) = (shown(row.name, row.min), shown(row.name, row.max));
        table += &format!("| `{}` | {} | {default} | {min} | {max} |\n", row.name, row.means);
    }
    table + "\n"
}

fn bounds() -> String {
    let mut table = "\n| what | how much |\n|---|---|\n".to_string();
    for (what, much) in bound_rows() {
        table += &format!("| {what} | {much} |\n");
    }
    table + "\n"
}

fn bound_rows() -> Vec<(&'static str, String)> {
    let mb = |bytes: usize| format!("{} MB", bytes >> 20);
    vec![
        (
            "ttl",
            format!(
                "{TTL_MIN_SECONDS} to {TTL_MAX_SECONDS} s, {TTL_DEFAULT_SECONDS} s unless given"
            ),
        ),
        (
            "input files",
            format!(
                "{}, {} each, {} together",
                limits::INPUT_FILES_MAX,
                mb(limits::INPUT_FILE_MAX_BYTES),
                mb(limits::INPUT_FILES_TOTAL_MAX_BYTES)
            ),
        ),
        (
            "name of an input file",
            format!(
                "{} characters and {} bytes, no `/`, no `..`, unique",
                limits::FILENAME_MAX_CHARS,
                limits::FILENAME_MAX_BYTES
            ),
        ),
        (
            "compiling",
            format!(
                "{} s, for some languages more, never above {} s (docs/languages.md has each); \
                 not taken from the ttl; `return_artifact` and `return_wasm_artifact` have the same time again, each for its own step; \
                 {} MB of memory",
                limits::COMPILE_TIME.as_secs(),
                limits::COMPILE_TIME_MAX.as_secs(),
                limits::COMPILE_MEMORY_BYTES >> 20
            ),
        ),
        (
            "artifacts",
            format!(
                "{} files, {} MB together; what is left out is named in `error`",
                limits::ARTIFACTS_MAX_COUNT,
                limits::ARTIFACTS_MAX_BYTES >> 20
            ),
        ),
        (
            "patterns of `outputs`",
            format!(
                "{}, {} bytes together; docs/guides/artifacts.md has how far they are searched",
                limits::OUTPUTS_MAX_COUNT,
                limits::OUTPUTS_MAX_BYTES
            ),
        ),
        ("body of a request", mb(limits::REQUEST_BODY_MAX_BYTES)),
        ("reply that a client reads", format!("{}, a setting", mb(limits::REPLY_MAX_BYTES))),
        (
            "executions at once, and waiting",
            format!("2 × CPU cores, and {} (both configurable)", limits::QUEUE_MAX),
        ),
        (
            "finished jobs kept",
            format!(
                "{} minutes, {} in all; above that, the oldest result of the key that uses the most is removed first",
                limits::RETENTION.as_secs() / 60,
                mb(limits::RETENTION_MAX_BYTES)
            ),
        ),
        (
            "finished jobs kept on disk by a server",
            format!(
                "{} hours, {} MB in all, by the same rule (`--retain`)",
                limits::STORE_RETENTION.as_secs() / 3_600,
                limits::STORE_RETENTION_MAX_BYTES >> 20
            ),
        ),
        (
            "requests of jobs that wait on its disk",
            format!("{} MB (`--queue-bytes`)", limits::QUEUE_MAX_BYTES >> 20),
        ),
        (
            "webhooks that a server keeps",
            format!(
                "{} of a key; a `callback_url` has {} bytes at most",
                limits::WEBHOOKS_KEPT_MAX,
                limits::CALLBACK_URL_MAX_BYTES
            ),
        ),
    ]
}

fn shown(name: &str, value: u64) -> String {
    match (name.ends_with("_bytes"), name.ends_with("_ms")) {
        (true, _) if value > 0 && value.is_multiple_of(1 << 20) => format!("{} MB", value >> 20),
        (true, _) if value == 1 => "1 byte".to_string(),
        (true, _) => format!("{value} bytes"),
        (_, true) if value.is_multiple_of(1000) => format!("{} s", value / 1000),
        (_, true) => format!("{value} ms"),
        _ => value.to_string(),
    }
}
