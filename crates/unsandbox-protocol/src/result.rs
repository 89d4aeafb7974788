// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an execution gives back: result, job, artifact, and the words for how it ended.

use crate::cancel::CancelReason;
use crate::error::Error;
use crate::filename;
use crate::isolation::Isolation;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// State of a job, and of the result of a finished one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Accepted, and waiting for its turn.
    Pending,
    /// Started, and not ended yet.
    Running,
    /// Ended with an exit code, by a signal or at a limit other than run time, with success or not.
    Completed,
    /// Ended because the program passed its ttl, or the compiler its own time limit.
    Timeout,
    /// Ended by a cancel before it was done.
    Cancelled,
    /// The service failed; the program is not the cause.
    Failed,
    /// A word that this version does not know; not terminal.
    Other(String),
}

impl Status {
    /// The word of the wire in lower case; the server's own for [`Status::Other`].
    pub fn as_str(&self) -> &str {
        match self {
            Status::Pending => "pending",
            Status::Running => "running",
            Status::Completed => "completed",
            Status::Timeout => "timeout",
            Status::Cancelled => "cancelled",
            Status::Failed => "failed",
            Status::Other(word) => word,
        }
    }

    /// Whether the job has ended: completed, timeout, cancelled or failed.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Status::Completed | Status::Timeout | Status::Cancelled | Status::Failed)
    }

    /// Reads a word as servers spell it: any case, and the synonyms of protocol.md b.3.
    pub fn parse(word: &str) -> Status {
        match word.to_ascii_lowercase().as_str() {
            "pending" | "queued" => Status::Pending,
            "running" => Status::Running,
            "completed" | "success" | "done" => Status::Completed,
            "timeout" | "timed_out" => Status::Timeout,
            "cancelled" | "canceled" => Status::Cancelled,
            "failed" | "error" => Status::Failed,
            _ => Status::Other(word.to_string()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The limit that ended a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitKind {
    /// Run time: the ttl, or the time limit of the compile step.
    Wall,
    /// Processor time, `cpu_time_ms`.
    Cpu,
    /// Memory, `memory_bytes`; also too many pipes at a time.
    Memory,
    /// Processes and threads, `processes`; the engine never reports it.
    Processes,
    /// Bytes of one output stream, `output_bytes`.
    Output,
    /// Size or number of files: `file_size_bytes`, `work_bytes` or `work_files`.
    Files,
}

impl LimitKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [LimitKind; 6] = [
        LimitKind::Wall,
        LimitKind::Cpu,
        LimitKind::Memory,
        LimitKind::Processes,
        LimitKind::Output,
        LimitKind::Files,
    ];

    /// The word of the wire, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitKind::Wall => "wall",
            LimitKind::Cpu => "cpu",
            LimitKind::Memory => "memory",
            LimitKind::Processes => "processes",
            LimitKind::Output => "output",
            LimitKind::Files => "files",
        }
    }

    /// Reads a word as [`LimitKind::as_str`] writes it; `None` for any other.
    pub fn parse(word: &str) -> Option<LimitKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Exit code of a run that passed its ttl.
pub const EXIT_TIMEOUT: i32 = 124;
/// Exit code of a run that a memory, cpu or output limit ended: 128 + SIGKILL.
pub const EXIT_LIMIT: i32 = 137;
/// Exit code of a cancelled run.
pub const EXIT_CANCELLED: i32 = -1;

/// What a server sends where no exit code is known: clients want a number.
pub const EXIT_UNKNOWN: i32 = -1;

/// A file that the run gave back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Artifact {
    /// As the program or the server named it; use [`Artifact::safe_filename`] to write it.
    pub filename: String,
    /// `binary`, `wasm` or `file`; other servers may use other words.
    pub kind: String,
    /// The bytes of the file; empty where a server only gave a link.
    pub content: Vec<u8>,
    /// Set instead of content where a server only gave a link.
    pub url: Option<String>,
}

impl Artifact {
    /// The name reduced to one harmless path component, see [`filename::safe_filename`].
    pub fn safe_filename(&self) -> String {
        filename::safe_filename(&self.filename)
    }

    /// The name as harmless components of a relative path, see [`filename::safe_components`].
    pub fn safe_components(&self) -> Vec<String> {
        filename::safe_components(&self.filename)
    }
}

/// What the program used, or the compiler, with all processes that it started.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Processor time in milliseconds.
    pub cpu_time_ms: u64,
    /// Largest memory in bytes.
    pub peak_memory_bytes: u64,
    /// Time from its start to its end in milliseconds; 0 where a server did not say.
    pub wall_time_ms: u64,
}

/// A reply's text as it came. Clones share it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawJson(Arc<String>);

/// Takes the text as it is: a large one is not copied. Room for more of it is given back.
impl From<String> for RawJson {
    fn from(mut text: String) -> RawJson {
        text.shrink_to_fit();
        RawJson(Arc::new(text))
    }
}

impl From<RawJson> for String {
    fn from(raw: RawJson) -> String {
        Arc::unwrap_or_clone(raw.0)
    }
}

impl Deref for RawJson {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What one execution gave. A program that fails is a result with `success == false`.
#[derive(Clone, PartialEq, Debug)]
pub struct ExecutionResult {
    /// Whether the program ended by itself with exit code 0; the server's word where it gives one.
    pub success: bool,
    /// How the execution ended.
    pub status: Status,
    /// Bytes of standard output; `truncated` tells whether some are missing.
    pub stdout: Vec<u8>,
    /// Bytes of standard error; `truncated` tells whether some are missing.
    pub stderr: Vec<u8>,
    /// Unknown (`None`) where a server did not say.
    pub exit_code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// The limit that ended the program.
    pub limit: Option<LimitKind>,
    /// One sentence on why it did not succeed, or what could not be collected.
    pub error: Option<String>,
    /// Name of the language that ran; `None` where a server did not say.
    pub language: Option<String>,
    /// Only for `run`.
    pub detected_language: Option<String>,
    /// Id of the job; `None` where a server did not say.
    pub job_id: Option<String>,
    /// Files that the run gave back; empty for none.
    pub artifacts: Vec<Artifact>,
    /// Names of files in the working directory that the program made or changed and nothing asked for: up to 100, by
    /// their paths there.
    pub left_files: Vec<String>,
    /// `cold` or `pooled`.
    pub execution_mode: Option<String>,
    /// `zerotrust` or `semitrusted`; `None` where a server did not say.
    pub network_mode: Option<String>,
    /// Queue, compile and run together.
    pub total_time_ms: Option<u64>,
    /// Time and memory of the program; `None` where it was not started, or where unknown.
    pub usage: Option<Usage>,
    /// Time and memory of the compiler, and of the steps that make what comes back; `None` where nothing was compiled, or
    /// where unknown.
    pub compile: Option<Usage>,
    /// A stream reached the output limit, and the rest of it is gone.
    pub truncated: bool,
    /// Path of the interpreter or compiler that was chosen; `None` where a server did not say.
    pub runtime: Option<String>,
    /// What the jail was made of; `None` where a server did not say.
    pub isolation: Option<Isolation>,
    /// The server's own JSON; `None` on the local engine.
    pub raw: Option<RawJson>,
}

impl ExecutionResult {
    /// A result with nothing in it yet but its status.
    pub fn new(status: Status) -> Self {
        ExecutionResult {
            success: false,
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
            exit_code: None,
            signal: None,
            limit: None,
            error: None,
            language: None,
            detected_language: None,
            job_id: None,
            artifacts: Vec::new(),
            left_files: Vec::new(),
            execution_mode: None,
            network_mode: None,
            total_time_ms: None,
            usage: None,
            compile: None,
            truncated: false,
            runtime: None,
            isolation: None,
            raw: None,
        }
    }

    /// A result without output, of an execution that was cancelled.
    pub fn cancelled(reason: CancelReason) -> Self {
        ExecutionResult {
            exit_code: Some(EXIT_CANCELLED),
            error: Some(reason.words().to_string()),
            ..ExecutionResult::new(Status::Cancelled)
        }
    }

    /// A result without output, of an execution that failed inside the service.
    pub fn failed(error: &Error) -> Self {
        ExecutionResult { error: Some(error.to_string()), ..ExecutionResult::new(Status::Failed) }
    }

    /// Standard output as text; bytes that are not UTF-8 become U+FFFD.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text; bytes that are not UTF-8 become U+FFFD.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}

/// An execution that was submitted. Times are Unix seconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// Id by which the job is asked for, waited for and cancelled.
    pub job_id: String,
    /// State of the job when this was read.
    pub status: Status,
    /// Name of its language; `None` where unknown.
    pub language: Option<String>,
    /// Only for `run`: name of the language that was detected.
    pub detected_language: Option<String>,
    /// `zerotrust` or `semitrusted`; `None` where a server did not say.
    pub network_mode: Option<String>,
    /// When it was submitted; `None` where a server did not say.
    pub created_at: Option<i64>,
    /// When it began to run; `None` before that, or where a server did not say.
    pub started_at: Option<i64>,
    /// When it ended; `None` before that, or where a server did not say.
    pub completed_at: Option<i64>,
    /// Present once the status is terminal. Shared: it may be large, and many may ask for it.
    pub result: Option<Arc<ExecutionResult>>,
    /// The server's own JSON; `None` on the local engine.
    pub raw: Option<RawJson>,
}

impl Job {
    /// The id of a new job, from random bits.
    pub fn id_of(random: [u8; 16]) -> String {
        format!("job_{:032x}", u128::from_be_bytes(random))
    }

    /// A job of which only id and status are known.
    pub fn new(job_id: impl Into<String>, status: Status) -> Self {
        Job {
            job_id: job_id.into(),
            status,
            language: None,
            detected_language: None,
            network_mode: None,
            created_at: None,
            started_at: None,
            completed_at: None,
            result: None,
            raw: None,
        }
    }

    /// The job as it was when it was accepted, for an event about that.
    pub fn as_accepted(&self) -> Job {
        Job {
            status: Status::Pending,
            started_at: None,
            completed_at: None,
            result: None,
            raw: None,
            ..self.clone()
        }
    }

    /// The job as it was when it had started, for an event about that.
    pub fn as_started(&self) -> Job {
        Job { status: Status::Running, started_at: self.started_at, ..self.as_accepted() }
    }

    /// The result for the caller's own, copied only if others have it too.
    pub fn into_result(self) -> Option<ExecutionResult> {
        self.result.map(Arc::unwrap_or_clone)
    }
}
