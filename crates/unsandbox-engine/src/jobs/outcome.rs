// SPDX-License-Identifier: MIT OR Apache-2.0
//! Translates the end of a step to status, exit code, signal, limit and error text.

use crate::jobs::ending::Ending;
use unsandbox_jailer::commands::{Cause, PIPES_MAX, StepEnd, StepKind};
use unsandbox_protocol::limits::COMPILE_MEMORY_BYTES;
use unsandbox_protocol::result::{EXIT_CANCELLED, EXIT_LIMIT, EXIT_TIMEOUT};
use unsandbox_protocol::{CancelReason, ExecutionResult, LimitKind, Status, Usage};

const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

/// Fills in the fields of the result about its end.
pub fn describe(result: &mut ExecutionResult, kind: StepKind, end: &StepEnd, ending: &Ending) {
    if kind == StepKind::Run {
        result.usage = Some(usage(end));
    }
    result.status = Status::Completed;
    let who = who(kind);
    match end.cause {
        Cause::Exited => exited(result, kind, end.code),
        Cause::Signaled => signaled(result, who, end.code),
        Cause::Wall => {
            result.status = Status::Timeout;
            let seconds = ending.wall_ms_of(kind) / 1000;
            let words = match kind {
                StepKind::Run => format!("{who} exceeded its ttl of {seconds} s"),
                // The ttl does not bound compile steps, so the text must not suggest a larger one.
                _ => {
                    format!(
                        "{who} exceeded the {seconds} s that its language has for compiling; ttl does not change them"
                    )
                }
            };
            limited(result, LimitKind::Wall, EXIT_TIMEOUT, None, words);
        }
        Cause::Cpu => {
            let words =
                format!("{who} exceeded limits.cpu_time_ms ({})", ending.limits.cpu_time_ms);
            limited(result, LimitKind::Cpu, EXIT_LIMIT, Some(SIGKILL), words);
        }
        Cause::Memory => out_of_memory(result, kind, ending),
        Cause::Pipes => {
            let words =
                format!("{who} had more than {PIPES_MAX} pipes open at once, the limit of a run");
            limited(result, LimitKind::Memory, EXIT_LIMIT, Some(SIGKILL), words);
        }
        Cause::Files => {
            let words = format!(
                "{who} exceeded limits.work_bytes ({}) or limits.work_files ({})",
                ending.limits.work_bytes, ending.limits.work_files
            );
            limited(result, LimitKind::Files, EXIT_LIMIT, Some(SIGKILL), words);
        }
        Cause::Stopped => match ending.cancelled {
            Some(reason) => cancelled(result, reason),
            None => too_much_output(result, kind, ending),
        },
    }
}

pub fn usage(end: &StepEnd) -> Usage {
    Usage {
        cpu_time_ms: end.cpu_time_us.div_ceil(1000),
        peak_memory_bytes: end.peak_memory_bytes,
        wall_time_ms: end.wall_us.div_ceil(1000),
    }
}

/// Adds a further step to those of the compiler. Its processor time and its peak count over all of them.
pub fn add_compile(compile: &mut Option<Usage>, end: &StepEnd) {
    let before = compile.map_or(0, |before| before.wall_time_ms);
    let usage = usage(end);
    *compile = Some(Usage { wall_time_ms: before + usage.wall_time_ms, ..usage });
}

/// The error text of a failed step that makes an artifact.
pub fn in_words(kind: StepKind, end: &StepEnd, ending: &Ending) -> String {
    let mut scratch = ExecutionResult::new(Status::Failed);
    describe(&mut scratch, kind, end, ending);
    scratch.error.unwrap_or_default()
}

fn who(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Compile => "the compiler",
        StepKind::Pack | StepKind::Wasm => "the artifact's command",
        StepKind::Run => "the program",
    }
}

pub fn out_of_memory(result: &mut ExecutionResult, kind: StepKind, ending: &Ending) {
    result.status = Status::Completed;
    let who = who(kind);
    let asked = ending.limits.memory_bytes;
    let words = match kind {
        StepKind::Run => format!("{who} exceeded limits.memory_bytes ({asked})"),
        _ if asked > COMPILE_MEMORY_BYTES => {
            format!("{who} exceeded limits.memory_bytes ({asked}), which is also the compiler's")
        }
        _ => format!(
            "{who} exceeded its {} GiB of memory; a larger limits.memory_bytes is also the compiler's",
            COMPILE_MEMORY_BYTES >> 30
        ),
    };
    limited(result, LimitKind::Memory, EXIT_LIMIT, Some(SIGKILL), words);
}

pub fn too_much_output(result: &mut ExecutionResult, kind: StepKind, ending: &Ending) {
    let is_full = |kept: &[u8]| kept.len() as u64 >= ending.output_bytes;
    let stream = match (is_full(&result.stdout), is_full(&result.stderr)) {
        (true, false) => "stdout",
        (false, true) => "stderr",
        _ => "stdout or stderr",
    };
    let words = format!(
        "{} wrote more than limits.output_bytes ({}) to {stream}; the output is truncated",
        who(kind),
        ending.output_bytes
    );
    result.success = false;
    limited(result, LimitKind::Output, EXIT_LIMIT, Some(SIGKILL), words);
}

pub fn cancelled(result: &mut ExecutionResult, reason: CancelReason) {
    result.status = Status::Cancelled;
    result.exit_code = Some(EXIT_CANCELLED);
    result.error = Some(reason.words().to_string());
}

/// The end of a program that was compiled to something that cannot be started.
pub fn no_program(result: &mut ExecutionResult) {
    const WORDS: &str = "the compiler made no program that can be started; does the code have an entry point, or \
                         is it a library?";
    result.status = Status::Completed;
    result.exit_code = Some(1);
    result.stderr.extend_from_slice(format!("{WORDS}\n").as_bytes());
    result.error = Some(WORDS.to_string());
}

fn exited(result: &mut ExecutionResult, kind: StepKind, code: i32) {
    result.exit_code = Some(code);
    result.success = code == 0;
    if code != 0 {
        result.error = Some(match kind {
            StepKind::Compile => {
                format!("the program did not compile: the compiler exited with code {code}")
            }
            _ => format!("{} exited with code {code}", who(kind)),
        });
    }
}

fn signaled(result: &mut ExecutionResult, who: &str, signal: i32) {
    result.exit_code = Some(128 + signal);
    result.signal = Some(signal);
    if signal == SIGXFSZ {
        result.limit = Some(LimitKind::Files);
    }
    let name = signal_name(signal);
    result.error = Some(format!("{who} was ended by signal {signal}{name}"));
}

fn limited(
    result: &mut ExecutionResult,
    limit: LimitKind,
    exit_code: i32,
    signal: Option<i32>,
    words: String,
) {
    result.limit = Some(limit);
    result.exit_code = Some(exit_code);
    result.signal = signal;
    result.error = Some(words);
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL, illegal instruction)",
        5 => " (SIGTRAP)",
        6 => " (SIGABRT, aborted)",
        7 => " (SIGBUS, bad memory access)",
        8 => " (SIGFPE, arithmetic error)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV, invalid memory access)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU, processor time)",
        25 => " (SIGXFSZ, file size)",
        31 => " (SIGSYS, forbidden system call)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_jailer::commands::RunLimits;
    use unsandbox_protocol::limits::COMPILE_TIME;

    fn ended(cause: Cause, code: i32) -> StepEnd {
        StepEnd { cause, code, cpu_time_us: 0, peak_memory_bytes: 0, wall_us: 0 }
    }

    fn ending() -> Ending {
        Ending {
            cancelled: None,
            limits: RunLimits { memory_bytes: 64, ..RunLimits::default() },
            output_bytes: 0,
            compile_ms: COMPILE_TIME.as_millis() as u64,
            run_ms: 5_000,
        }
    }

    #[test]
    fn a_compile_timeout_names_the_compile_limit() {
        let mut result = ExecutionResult::new(Status::Failed);
        describe(&mut result, StepKind::Compile, &ended(Cause::Wall, SIGKILL), &ending());
        assert_eq!((&result.status, result.exit_code), (&Status::Timeout, Some(EXIT_TIMEOUT)));
        assert_eq!(result.limit, Some(LimitKind::Wall));
        let words = "the compiler exceeded the 60 s that its language has for compiling; ttl does not change them";
        assert_eq!(result.error.as_deref(), Some(words));
        describe(&mut result, StepKind::Run, &ended(Cause::Wall, SIGKILL), &ending());
        assert_eq!(result.error.as_deref(), Some("the program exceeded its ttl of 5 s"));
    }

    #[test]
    fn a_failed_artifact_step_reports_its_reason() {
        for (end, why) in [
            (ended(Cause::Exited, 3), "exited with code 3"),
            (ended(Cause::Signaled, 11), "was ended by signal 11 (SIGSEGV, invalid memory access)"),
            (
                ended(Cause::Wall, SIGKILL),
                "exceeded the 60 s that its language has for compiling; ttl does not change them",
            ),
            (
                ended(Cause::Memory, SIGKILL),
                "exceeded its 2 GiB of memory; a larger limits.memory_bytes is also the compiler's",
            ),
        ] {
            let words = in_words(StepKind::Pack, &end, &ending());
            assert_eq!(words, format!("the artifact's command {why}"));
        }
    }
}
