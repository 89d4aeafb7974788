// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table that the suite prints: a line for each language, a column for each check.

use crate::NAMED;
use crate::programs::{CRLF, ODD_ARGS};
use std::fmt::Write;
use unsandbox_protocol::backend::LanguageInfo;
use unsandbox_protocol::language::Language;

/// The checks with a column of their own: program, heading. Every language can pass the first nine.
const COLUMNS: &[(&str, &str)] = &[
    ("hello", "hello"),
    ("stdin", "stdin"),
    ("args", "args"),
    ("env", "env"),
    ("exit7", "exit7"),
    ("stderr", "stderr"),
    ("input", "input"),
    ("runtime_error", "run-err"),
    ("loop", "loop"),
    ("compile_error", "comp-err"),
    (ODD_ARGS, "odd-args"),
    (CRLF, "crlf"),
];
const REQUIRED: usize = 9;

pub enum Verdict {
    Ok,
    /// In the words of the check.
    Failed(String),
}

impl Verdict {
    pub fn is_ok(&self) -> bool {
        matches!(self, Verdict::Ok)
    }
}

/// What one language passed.
pub struct Row {
    pub name: &'static str,
    version: String,
    compiles: bool,
    verdicts: Vec<(String, Verdict)>,
}

impl Row {
    pub fn new(language: &'static Language, version: Option<String>, info: &LanguageInfo) -> Row {
        let version = version.unwrap_or_else(|| "?".to_string());
        let untested = if info.untested { "*" } else { "" };
        Row {
            name: language.name,
            version: format!("{version:.12}{untested}"),
            compiles: language.recipes.iter().any(|recipe| !recipe.compile.is_empty()),
            verdicts: Vec::new(),
        }
    }

    pub fn add(&mut self, check: &str, verdict: Verdict) {
        self.verdicts.push((check.to_string(), verdict));
    }

    pub fn failed(&self) -> bool {
        self.verdicts.iter().any(|(_, verdict)| !verdict.is_ok())
    }

    fn passed(&self, check: &str) -> bool {
        self.verdicts.iter().any(|(name, verdict)| name == check && verdict.is_ok())
    }

    /// Whether it passed every check that there is for a language of its kind.
    fn is_complete(&self) -> bool {
        let mut required = COLUMNS[..REQUIRED].iter().map(|(check, _)| *check);
        !self.failed()
            && required.all(|check| self.passed(check))
            && (!self.compiles || self.passed("compile_error"))
    }

    fn cell(&self, check: &str) -> &'static str {
        match self.verdicts.iter().find(|(name, _)| name == check) {
            None => "-",
            Some((_, Verdict::Ok)) => "ok",
            Some((_, Verdict::Failed(_))) => "FAIL",
        }
    }

    /// The quirk programs by name, those that fail in capitals.
    fn quirks(&self) -> String {
        let quirks = self.verdicts.iter().filter_map(|(name, verdict)| {
            let quirk = name
                .strip_prefix("quirk_")
                .or_else(|| name.starts_with("several_").then_some(name))?;
            Some(if verdict.is_ok() { quirk.to_string() } else { format!("FAIL:{quirk}") })
        });
        let quirks: Vec<String> = quirks.collect();
        if quirks.is_empty() { "-".to_string() } else { quirks.join(" ") }
    }
}

/// How many languages passed everything: of the named ones, and beyond them.
pub fn complete(rows: &[Row]) -> (usize, usize) {
    let (named, beyond): (Vec<&Row>, Vec<&Row>) =
        rows.iter().filter(|row| row.is_complete()).partition(|row| NAMED.contains(&row.name));
    (named.len(), beyond.len())
}

/// The table, what failed and why, and the sums.
pub fn text(rows: &[Row], skipped: &[&str]) -> String {
    let mut out = String::from("\n");
    let _ = write!(out, "{:<13}{:<14}", "language", "version");
    COLUMNS.iter().for_each(|(_, heading)| _ = write!(out, "{heading:<9}"));
    out.push_str("quirks\n");
    for row in rows {
        let _ = write!(out, "{:<13}{:<14}", row.name, row.version);
        COLUMNS.iter().for_each(|(check, _)| _ = write!(out, "{:<9}", row.cell(check)));
        let _ = writeln!(out, "{}", row.quirks());
    }
    for row in rows {
        for (check, verdict) in &row.verdicts {
            if let Verdict::Failed(why) = verdict {
                let _ = writeln!(out, "{}/{check}: {why}", row.name);
            }
        }
    }
    let failed = rows.iter().filter(|row| row.failed()).count();
    let (named, beyond) = complete(rows);
    let _ = writeln!(
        out,
        "{} languages passed, {failed} failed, {} skipped ({})\n\
         every check of the table: {named} of the {} named languages, {beyond} beyond them",
        rows.len() - failed,
        skipped.len(),
        skipped.join(" "),
        NAMED.len()
    );
    // As the runner of all suites reads it.
    for name in skipped {
        let _ = writeln!(out, "skipped: language {name} is not installed");
    }
    out
}
