// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each program is given, and what it has to do with it.

use crate::programs::{CRLF, ODD_ARGS};
use crate::table::Verdict;
use std::sync::Arc;
use unsandbox_engine::Engine;
use unsandbox_protocol::language::Language;
use unsandbox_protocol::result::EXIT_TIMEOUT;
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{Backend, Error, ExecutionResult, LimitKind, Request, Status, Submission};

/// Seconds that a `loop` is given, one after the other, until one is enough for it to have started:
/// what a virtual machine needs for that depends on what else this machine does.
const LOOP_TTL: &[i64] = &[2, 10, 40];
const TTL: i64 = 120;

const ARGS: &[&str] = &["one", "two words", "ü"];
const ODD: &[&str] = &["-x", "--version", "$(id)", "a'b\"c", "*", "-e", "x=1", "; exit 3"];

/// One program of one language.
pub struct Check {
    pub language: &'static Language,
    pub name: String,
    pub code: String,
    /// Uploaded with it.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Check {
    fn request(&self, ttl: i64) -> Request {
        let request = Request::new(self.language.name, &self.code).ttl(ttl);
        let files = self.files.iter();
        let request =
            files.fold(request, |request, (name, content)| request.file(name, content.clone()));
        match self.name.as_str() {
            "stdin" => request.stdin("first line\nsecond line\n"),
            "args" => with_args(request, ARGS),
            ODD_ARGS => with_args(request, ODD),
            "env" => request.env("GREETING", "hello there"),
            "input" => request.input_file("data.txt", "alpha\nbeta\n"),
            _ => request,
        }
    }

    /// Standard output, where it is fixed.
    fn expected_output(&self) -> Option<String> {
        Some(match self.name.as_str() {
            "hello" | CRLF => format!("hello from {}\n", self.language.name),
            "stdin" => "FIRST LINE\nSECOND LINE\n".to_string(),
            "args" => ARGS.join("\n") + "\n",
            ODD_ARGS => ODD.join("\n") + "\n",
            "env" => "hello there\n".to_string(),
            "input" => "alpha\nbeta\n".to_string(),
            "exit7" | "stderr" | "compile_error" => String::new(),
            "loop" => "started\n".to_string(),
            "runtime_error" => return None,
            quirk if quirk.starts_with("quirk_") => "quirk\n".to_string(),
            several if several.starts_with("several_") => "several\n".to_string(),
            other => panic!("{}/{other}: no such kind of program", self.language.name),
        })
    }

    /// What is wrong with its result, if anything.
    fn complaint(&self, result: &ExecutionResult) -> Option<String> {
        let expected = self.expected_output();
        let told = !result.stderr.is_empty();
        let (end, words) = match self.name.as_str() {
            "loop" => (result.limit == Some(LimitKind::Wall) && self.timed_out(result), true),
            "exit7" => (result.exit_code == Some(7), !told),
            "runtime_error" | "compile_error" => {
                (result.status == Status::Completed && is_failure(result), told)
            }
            "stderr" => (result.success, result.stderr == b"oops\n"),
            // The one program whose language reports something and runs all the same.
            "quirk_types" => (result.success, told),
            _ => (result.success, !told),
        };
        if !end {
            return Some("it ended otherwise".to_string());
        }
        if expected.is_some_and(|expected| expected.as_bytes() != result.stdout) {
            return Some("it printed something else".to_string());
        }
        if self.name == "hello" && !result.left_files.is_empty() {
            return Some(format!("files beside the user's: {:?}", result.left_files));
        }
        (!words).then(|| "standard error is not as it should be".to_string())
    }

    fn timed_out(&self, result: &ExecutionResult) -> bool {
        result.status == Status::Timeout && result.exit_code == Some(EXIT_TIMEOUT)
    }

    /// Whether a loop ran out of time before it said that it had started.
    fn was_too_slow(&self, result: &ExecutionResult) -> bool {
        self.name == "loop" && self.timed_out(result) && result.stdout.is_empty()
    }

    fn verdict(&self, result: Result<ExecutionResult, Error>) -> Verdict {
        match result {
            Ok(result) => match self.complaint(&result) {
                None => Verdict::Ok,
                Some(complaint) => Verdict::Failed(format!("{complaint}\n{}", describe(&result))),
            },
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }
}

fn with_args(request: Request, args: &[&str]) -> Request {
    args.iter().fold(request, |request, arg| request.arg(*arg))
}

fn is_failure(result: &ExecutionResult) -> bool {
    !result.success && result.exit_code.is_some_and(|code| code != 0)
}

/// What a reader needs to see why.
fn describe(result: &ExecutionResult) -> String {
    let end = |text: &str| text.chars().take(1000).collect::<String>().replace('\n', "\n      ");
    format!(
        "    status {}, exit code {:?}, error {:?}\n    stdout: {}\n    stderr: {}",
        result.status,
        result.exit_code,
        result.error,
        end(&result.stdout_text()),
        end(&result.stderr_text())
    )
}

/// Starts one request; its waiter gives the end.
pub fn submit(engine: &Engine, request: Request) -> Result<Arc<Waiter>, Error> {
    let waiter = Arc::new(Waiter::new());
    engine.submit_job(Submission::validated(request).unwrap(), waiter.sink())?;
    Ok(waiter)
}

/// Runs all, as many at once as the engine does.
pub fn run(engine: &Engine, checks: Vec<Check>) -> Vec<(Check, Verdict)> {
    let mut done = Vec::new();
    let mut waiting = checks;
    for (round, ttl) in LOOP_TTL.iter().enumerate() {
        let started: Vec<_> = waiting
            .into_iter()
            .map(|check| {
                let ttl = if check.name == "loop" { *ttl } else { TTL };
                let waiter = submit(engine, check.request(ttl));
                (check, waiter)
            })
            .collect();
        waiting = Vec::new();
        for (check, waiter) in started {
            let result = waiter.and_then(|waiter| waiter.wait_result());
            let again = result.as_ref().is_ok_and(|result| check.was_too_slow(result));
            if again && round + 1 < LOOP_TTL.len() {
                waiting.push(check);
            } else {
                let verdict = check.verdict(result);
                done.push((check, verdict));
            }
        }
    }
    done
}
