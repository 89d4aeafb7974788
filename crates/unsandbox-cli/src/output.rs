// SPDX-License-Identifier: MIT OR Apache-2.0
//! A result in the shell: bytes on two streams, files, and an exit code.

use crate::Done;
use crate::failure::{EXIT_FAILED, Failure};
use crate::terminal::{self, say};
use std::path::Path;
use unsandbox::protocol::wire;
use unsandbox::{ExecutionResult, Status, Stream, save_each};

/// How a result is shown.
#[derive(Debug, Default)]
pub(crate) struct Show<'a> {
    pub json: bool,
    pub artifacts: Option<&'a Path>,
    /// Whether the files that the program left are named.
    pub names_left_files: bool,
    pub verbose: bool,
    pub quiet: bool,
    /// Exit code of a run that this command cancelled itself; it is not reported as an error.
    pub interrupted: Option<i32>,
}

/// Writes output as it comes, and counts the bytes written.
#[derive(Default)]
pub(crate) struct Printer {
    out_count: usize,
    err_count: usize,
}

impl Printer {
    pub(crate) fn print(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Failure> {
        terminal::output(stream, bytes)?;
        match stream {
            Stream::Stdout => self.out_count += bytes.len(),
            Stream::Stderr => self.err_count += bytes.len(),
        }
        Ok(())
    }

    /// Prints the output of the result that was not printed during the run.
    fn rest(&mut self, result: &ExecutionResult) -> Result<(), Failure> {
        let out = result.stdout.get(self.out_count..).unwrap_or_default();
        let err = result.stderr.get(self.err_count..).unwrap_or_default();
        self.print(Stream::Stdout, out)?;
        self.print(Stream::Stderr, err)
    }
}

/// Shows a finished run and returns its exit code.
pub(crate) fn finish(mut printer: Printer, result: &ExecutionResult, show: &Show<'_>) -> Done {
    if show.json {
        terminal::json(&wire::encode_result(result, wire::Shape::Once))?;
    } else {
        printer.rest(result)?;
    }
    if let Some(directory) = show.artifacts {
        save(result, directory, show.verbose);
    }
    if let Some(isolation) = result.isolation.as_ref().filter(|i| i.level != "full") {
        let missing = isolation.missing.join(", ");
        say(&format!(
            "isolation level {}; missing layers: {missing}; `unsandbox doctor` shows how to enable them",
            isolation.level
        ));
    }
    let interrupted = show.interrupted.filter(|_| result.status == Status::Cancelled);
    let exit_code = interrupted.unwrap_or_else(|| exit_code_of(result));
    let wanted = !show.json && interrupted.is_none();
    if let (true, Some(why)) = (wanted && (!show.quiet || exit_code == EXIT_FAILED), remark(result))
    {
        say(&why);
    }
    if wanted && !show.quiet && show.artifacts.is_none() && !result.artifacts.is_empty() {
        say(&unsaved(result));
    }
    if wanted && !show.quiet && show.names_left_files && !result.left_files.is_empty() {
        let names = few(result.left_files.iter().map(String::as_str));
        say(&format!(
            "files of the working directory are not kept: {names}; --output PATTERN brings those back that it names"
        ));
    }
    Ok(exit_code)
}

/// What there is to say about an end: its reason, unless the program ended itself, and what could not be done for it,
/// such as an artifact that was skipped.
fn remark(result: &ExecutionResult) -> Option<String> {
    let error = result.error.as_deref()?;
    let ended_by_us = result.limit.is_some() || result.status != Status::Completed;
    if ended_by_us || result.signal.is_some() {
        return Some(error.to_string());
    }
    // The exit code of this command says the first, and --artifacts asks for the second where there may be none.
    let own = format!("the program exited with code {}", result.exit_code.unwrap_or_default());
    let is_known = |part: &&str| *part == own || part.starts_with("return_artifact has no effect");
    if !result.success && !error.starts_with(&own) {
        return None;
    }
    let parts: Vec<&str> = error.split("; ").filter(|part| !is_known(part)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Names what is lost because nobody asked for it.
fn unsaved(result: &ExecutionResult) -> String {
    let names = few(result.artifacts.iter().map(|it| it.filename.as_str()));
    format!("artifacts are not saved: {names}; give --artifacts DIR to keep them")
}

/// The first names, and how many more there are.
fn few<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.take(NAMES_SHOWN).collect::<Vec<_>>().join(", ") + &more
}

/// How many names of files a line has.
const NAMES_SHOWN: usize = 3;

/// The exit code of the program, or the number for its end by a limit or a cancel.
fn exit_code_of(result: &ExecutionResult) -> i32 {
    match (&result.status, result.exit_code) {
        // Not ended by the program itself.
        (Status::Failed | Status::Cancelled, _) => EXIT_FAILED,
        (Status::Timeout, _) => unsandbox::protocol::result::EXIT_TIMEOUT,
        // A process can report 8 bits; servers also send other numbers.
        (_, Some(code)) => code & 0xff,
        (_, None) => i32::from(!result.success),
    }
}

/// Saves artifacts. One that cannot be saved is reported; the others are saved, and the exit code does not change.
fn save(result: &ExecutionResult, directory: &Path, verbose: bool) {
    for end in save_each(&result.artifacts, directory) {
        match end {
            Ok(path) if verbose => say(&format!("saved {}", path.display())),
            Ok(_) => {}
            Err(error) => say(&error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_table() {
        let ended = |status: Status, code: Option<i32>, success: bool| {
            let mut result = ExecutionResult::new(status);
            result.exit_code = code;
            result.success = success;
            exit_code_of(&result)
        };
        assert_eq!(ended(Status::Completed, Some(7), false), 7);
        assert_eq!(ended(Status::Completed, Some(139), false), 139);
        assert_eq!(ended(Status::Completed, None, true), 0);
        assert_eq!(ended(Status::Completed, None, false), 1);
        assert_eq!(ended(Status::Timeout, Some(-1), false), 124);
        assert_eq!(ended(Status::Cancelled, Some(-1), false), 125);
        assert_eq!(ended(Status::Failed, Some(1), false), 125);
    }
}
