// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of hostile programs: `programs/*.toml`. What must be seen may differ between the levels;
//! then it is written `full | reduced`. Alternatives are written `this or that`; an empty side of a line
//! of output means that the level has no such line.

use serde::Deserialize;
use std::collections::BTreeMap;
use unsandbox_protocol::{ExecutionResult, Level, LimitKind, Limits, Request, Status};

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub name: String,
    pub language: String,
    /// `@NAME@` becomes what the environment of the program has under that name.
    pub code: String,
    #[serde(default = "ten")]
    pub ttl: i64,
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    pub stdin: Option<String>,
    pub runtime: Option<String>,
    /// Runs in a row, each with the same outcome.
    #[serde(default = "one")]
    pub rounds: u32,
    /// It is for a host that is an ordinary user, who has no control group here and shares quotas with its runs.
    #[serde(default)]
    pub as_user: bool,
    /// The one level, or the one processor, that it is for.
    pub level: Option<String>,
    pub only: Option<String>,
    /// Says "ready", and is then looked at from outside until it may go on.
    #[serde(default)]
    pub looked_at: bool,
    /// `exit N`, `signal N`, a limit, `timeout`, `compile` (does not), `any`.
    #[serde(default = "success")]
    pub ends: String,
    /// Lines of standard output; unchecked where there is none of these fields.
    pub sees: Option<Vec<String>>,
    pub stdout_len: Option<usize>,
    pub stdout_hex: Option<String>,
    pub stdout_ends: Option<String>,
    pub stderr: Option<String>,
    pub artifacts: Option<Vec<String>>,
    pub artifacts_most: Option<usize>,
    /// What the result's `error` has to name.
    #[serde(default)]
    pub error_has: Vec<String>,
    /// Another owner's run beside it, while it waits after its first output for its input to end.
    pub beside: Option<Other>,
    /// Another owner's runs after it.
    pub next: Option<Other>,
}

/// A run of another owner, which has to find nothing of this one.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Other {
    pub language: String,
    pub code: String,
    /// In a row, each with the same outcome.
    #[serde(default = "one")]
    pub rounds: u32,
    /// Lines of standard output.
    pub sees: Vec<String>,
}

fn ten() -> i64 {
    10
}
fn one() -> u32 {
    1
}
fn success() -> String {
    "exit 0".to_string()
}

#[derive(Deserialize)]
struct File {
    program: Vec<Program>,
}

const FILES: &[&str] = &[
    include_str!("programs/processes.toml"),
    include_str!("programs/memory.toml"),
    include_str!("programs/files.toml"),
    include_str!("programs/kernel.toml"),
    include_str!("programs/network.toml"),
    include_str!("programs/output.toml"),
    include_str!("programs/machine.toml"),
    include_str!("programs/between.toml"),
    include_str!("programs/quotas.toml"),
];
const HEADER: &str = include_str!("programs/hostile.h");

pub fn programs() -> Vec<Program> {
    let parse =
        |text: &&str| toml::from_str::<File>(text).expect("the table is well formed").program;
    FILES.iter().flat_map(parse).collect()
}

/// The level's side of a text.
fn side(text: &str, level: Level) -> Option<&str> {
    let side = match (text.split_once('|'), level) {
        (None, _) => text,
        (Some((full, _)), Level::Full) => full,
        (Some((_, reduced)), Level::Reduced) => reduced,
    };
    let side = side.trim();
    (!side.is_empty()).then_some(side)
}

fn is_one_of(found: &str, alternatives: &str) -> bool {
    alternatives.split(" or ").any(|one| one.trim() == found.trim())
}

impl Program {
    /// Whether it waits for its input once it has written something.
    pub fn holds(&self) -> bool {
        self.looked_at || self.beside.is_some()
    }

    pub fn is_for(&self, level: Level) -> bool {
        self.level.as_deref().is_none_or(|only| only == level.as_str())
            && !(self.as_user && crate::is_root())
            && self.only.as_deref().is_none_or(|only| only == std::env::consts::ARCH)
    }

    pub fn limits(&self) -> Limits {
        let mut limits = Limits { output_bytes: Some(1_000_000), ..Limits::default() };
        for (name, value) in &self.limits {
            assert!(limits.set(name, *value), "{}: no limit {name}", self.name);
        }
        limits
    }

    /// The request, with `canaries` in its environment.
    pub fn request(&self, canaries: &[(&str, String)]) -> Request {
        let fill = |text: &str| {
            let named = |text: String, (name, value): &(&str, String)| {
                text.replace(&format!("@{name}@"), value)
            };
            canaries.iter().fold(text.to_string(), named)
        };
        let mut request = Request::new(self.language.clone(), fill(&self.code)).ttl(self.ttl);
        request = request.limits(self.limits());
        request = with_header(request);
        for (name, value) in canaries {
            request = request.env(*name, value);
        }
        if let Some(stdin) = &self.stdin {
            request = request.stdin(stdin.as_bytes());
        }
        match &self.runtime {
            Some(path) => request.runtime(fill(path)),
            None => request,
        }
    }

    /// What is wrong with a result, one sentence each.
    pub fn complaints(&self, level: Level, result: &ExecutionResult) -> Vec<String> {
        let mut wrong = Vec::new();
        let expected = side(&self.ends, level).unwrap_or("any");
        let ended = how_it_ended(result);
        if !expected.split(" or ").any(|one| matches(one.trim(), &ended)) {
            let error = result.error.as_deref().unwrap_or_default();
            wrong.push(format!("it ended with {ended} ({error}), not {expected}"));
        }
        if let Some(lines) = &self.sees {
            wrong.extend(compare_lines(lines, level, result));
        }
        if self.stdout_len.is_some_and(|len| len != result.stdout.len()) {
            wrong.push(format!("{} bytes came on stdout", result.stdout.len()));
        }
        let hex: String = result.stdout.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.stdout_hex.as_ref().is_some_and(|wanted| *wanted != hex) {
            wrong.push(format!("stdout was {hex}"));
        }
        if self.stdout_ends.as_ref().is_some_and(|text| !result.stdout.ends_with(text.as_bytes())) {
            wrong.push("stdout ends otherwise".to_string());
        }
        if self.stderr.as_ref().is_some_and(|text| text.as_bytes() != result.stderr) {
            wrong.push(format!("stderr was {:?}", result.stderr_text()));
        }
        let names: Vec<&str> = result.artifacts.iter().map(|one| one.filename.as_str()).collect();
        if self.artifacts.as_ref().is_some_and(|wanted| *wanted != names) {
            wrong.push(format!("artifacts {names:?}"));
        }
        if self.artifacts_most.is_some_and(|most| names.len() > most) {
            wrong.push(format!("{} artifacts", names.len()));
        }
        let error = result.error.as_deref().unwrap_or_default();
        let silent = self.error_has.iter().filter(|word| !error.contains(*word));
        wrong.extend(silent.map(|word| format!("the error does not say {word:?}: {error}")));
        wrong
    }
}

impl Other {
    pub fn request(&self) -> Request {
        with_header(Request::new(self.language.clone(), self.code.clone()).ttl(30))
    }

    /// What is wrong with a result.
    pub fn complaint(&self, level: Level, result: &ExecutionResult) -> Option<String> {
        compare_lines(&self.sees, level, result)
    }
}

fn with_header(request: Request) -> Request {
    if request.language.as_deref() == Some("c") {
        request.input_file("hostile.h", HEADER)
    } else {
        request
    }
}

fn compare_lines(lines: &[String], level: Level, result: &ExecutionResult) -> Option<String> {
    let text = result.stdout_text();
    let found: Vec<&str> = text.lines().collect();
    let wanted: Vec<&str> = lines.iter().filter_map(|line| side(line, level)).collect();
    let differs = (0..found.len().max(wanted.len())).find(|&index| {
        match (found.get(index), wanted.get(index)) {
            (Some(found), Some(wanted)) => !is_one_of(found, wanted),
            _ => true,
        }
    })?;
    let stderr: String = result.stderr_text().chars().take(300).collect();
    let of =
        |lines: &[&str]| lines.get(differs).map_or("nothing".to_string(), |l| format!("{l:?}"));
    Some(format!("it saw {}, not {} (stderr: {stderr:?})", of(&found), of(&wanted)))
}

/// The end in the words of the table of ends, "inconsistent" where its fields do not fit each other.
pub fn how_it_ended(result: &ExecutionResult) -> String {
    let fields = (result.exit_code, result.signal, result.limit);
    let fits = match (&result.status, fields) {
        (Status::Timeout, (Some(124), None, Some(LimitKind::Wall))) => {
            return "timeout".to_string();
        }
        (Status::Completed, (Some(137), Some(9), Some(limit))) => {
            return limit.as_str().to_string();
        }
        (Status::Completed, (Some(153), Some(25), Some(LimitKind::Files))) => {
            return "files".to_string();
        }
        (Status::Completed, (Some(code), Some(signal), None)) => code == 128 + signal,
        (Status::Completed, (Some(_), None, None)) => true,
        (Status::Cancelled, (Some(-1), None, None)) => true,
        _ => false,
    };
    let told = result.success == (result.exit_code == Some(0))
        && (result.success || result.error.is_some());
    match (fits && told, fields) {
        (true, (_, Some(signal), _)) => format!("signal {signal}"),
        (true, (Some(code), ..)) if did_not_compile(result) => format!("compile {code}"),
        (true, (Some(code), ..)) => format!("exit {code}"),
        _ => format!("inconsistent fields {:?} {fields:?}", result.status),
    }
}

fn did_not_compile(result: &ExecutionResult) -> bool {
    result.error.as_deref().is_some_and(|error| error.contains("did not compile"))
}

fn matches(expected: &str, ended: &str) -> bool {
    match expected {
        "any" => !ended.starts_with("inconsistent"),
        "compile" => ended.starts_with("compile "),
        _ => expected == ended,
    }
}
