// SPDX-License-Identifier: MIT OR Apache-2.0
//! What travels beside a submission: the events that a backend reports, the context of a call, and what its end means
//! to the caller.

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorCode};
use crate::printable::printable;
use crate::result::{ExecutionResult, Job, Status};
use crate::wire;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Whose job it is. To any other owner it does not exist.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Owner(pub String);

/// One of the two output streams of a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A place in the output of a job: how many bytes of each stream come before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Offsets {
    /// Bytes of standard output.
    pub stdout: u64,
    /// Bytes of standard error.
    pub stderr: u64,
}

impl Offsets {
    /// The offset in one stream.
    pub fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// Sets the offset in one stream.
    pub fn set(&mut self, stream: Stream, offset: u64) {
        match stream {
            Stream::Stdout => self.stdout = offset,
            Stream::Stderr => self.stderr = offset,
        }
    }

    /// What of a piece of output lies behind this place, with its offset; `None` where nothing does.
    pub fn behind<'a>(
        &self,
        stream: Stream,
        offset: u64,
        bytes: &'a [u8],
    ) -> Option<(u64, &'a [u8])> {
        let skipped = self.of(stream).saturating_sub(offset);
        let rest = bytes.get(usize::try_from(skipped).ok()?..)?;
        (!rest.is_empty()).then_some((offset + skipped, rest))
    }
}

/// `STDOUT-STDERR`, as the events of a stream have it as their id.
impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stdout, self.stderr)
    }
}

impl FromStr for Offsets {
    type Err = Error;

    fn from_str(text: &str) -> Result<Offsets, Error> {
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_plain)
        };
        let parts = text.split_once('-');
        parts
            .and_then(|(out, err)| Some(Offsets { stdout: number(out)?, stderr: number(err)? }))
            .ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                Error::argument(format!(
                    "{shown:?} is not a place in the output of a job; give STDOUT-STDERR, the bytes of both streams \
                     that you have, as 120-0"
                ))
            })
    }
}

/// What happens to a submission before its end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The backend has taken the job: its id is known, and it will have an end. At most once, and first: a job that
    /// is cancelled while this is reported ends after it.
    Accepted(&'a Job),
    /// The run step began.
    Started(&'a Job),
    /// Bytes as the program writes them, in order within a stream.
    Output {
        /// The stream that the program wrote to.
        stream: Stream,
        /// How many bytes of the stream came before these.
        offset: u64,
        /// The bytes as written; a piece may end within a line or a character.
        bytes: &'a [u8],
    },
    /// The job is that of an earlier submission with the same idempotency key: its run counts there. Right after
    /// [`Event::Accepted`].
    Repeated,
    /// Another process runs the job, or finds it lost, and counts it. Its end is reported here all the same, unless this
    /// process ends before.
    HandedOn,
}

/// Where a backend reports what happens to one submission.
///
/// Called from the backend's own threads or that of the call, without locks held; must not block.
pub trait EventSink: Send + Sync {
    /// Takes an event before the end; by default it does nothing. To close a backend in here waits for this very call.
    fn event(&self, _event: Event<'_>) {}

    /// Whether anyone still listens: a backend may drop a watcher that is no longer wanted.
    fn is_wanted(&self) -> bool {
        true
    }

    /// Whether the output is wanted while the program runs. Where not, a backend that has to ask for it elsewhere need
    /// not do so.
    fn wants_output(&self) -> bool {
        true
    }

    /// The end, exactly once: a job in a terminal state with its result, or why there is none. Before
    /// [`Event::Accepted`] it is a refusal. A backend that drops a sink without an end has lost the run ([`lost`]).
    fn finished(&self, end: Result<Job, Error>);
}

/// What each call carries beside its arguments.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// Whose jobs the call submits and finds; the empty owner by default.
    pub owner: Owner,
    /// Ends the call from any thread: it fails with CANCELLED.
    pub cancel: CancelToken,
    /// How long the call may take from now; after that it fails with TIMEOUT. `None`: as long as the backend
    /// has it.
    pub deadline: Option<Duration>,
}

impl CallContext {
    /// The context of a call for `owner`, with a new token and no deadline.
    pub fn of(owner: Owner) -> CallContext {
        CallContext { owner, ..CallContext::default() }
    }

    /// For an operation that answers at once.
    ///
    /// # Errors
    ///
    /// CANCELLED or TIMEOUT where the call is over before it has begun.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() {
            return Err(cancelled(None));
        }
        match self.deadline {
            Some(deadline) if deadline.is_zero() => Err(past_deadline(deadline)),
            _ => Ok(()),
        }
    }
}

/// The result of a finished job.
///
/// # Errors
///
/// INTERNAL if the backend sent none.
pub fn result_in(job: Job) -> Result<ExecutionResult, Error> {
    job.into_result().ok_or_else(|| Error::internal("a finished job came without its result"))
}

/// The outcome of a call from the end of its job: a call that its own token has cancelled is an error.
///
/// # Errors
///
/// CANCELLED then; else the end's own.
pub fn result_of(end: Result<Job, Error>, cancel: &CancelToken) -> Result<ExecutionResult, Error> {
    let job = end?;
    if job.status == Status::Cancelled && cancel.is_cancelled() {
        return Err(cancelled(Some(&job.job_id)));
    }
    result_in(job)
}

/// The error of a call that its own token has ended.
pub fn cancelled(job_id: Option<&str>) -> Error {
    let error = Error::new(ErrorCode::Cancelled, "the call was cancelled");
    match job_id {
        Some(id) if !id.is_empty() => error.with_job_id(id),
        _ => error,
    }
}

/// The error of a call that took longer than its deadline.
pub fn past_deadline(deadline: Duration) -> Error {
    let seconds = deadline.as_secs_f64();
    Error::new(ErrorCode::Timeout, format!("the call took longer than its deadline of {seconds} s"))
}

/// The refusal of a submission by a server that ends.
pub fn stopping() -> Error {
    Error::new(ErrorCode::Server, "this server is stopping and takes no new work")
        .with_wire(wire::STOPPING)
        .with_http_status(503)
        .with_retry_after_ms(5_000)
}

/// The refusal to delete a job that waits or runs: a deletion never ends a program.
pub fn not_ended(job: &Job) -> Error {
    let (id, status) = (printable(&job.job_id), &job.status);
    let text =
        format!("job {id} is {status}; cancel it first, or wait for its end, and delete it then");
    Error::new(ErrorCode::Conflict, text).with_job_id(job.job_id.clone())
}

/// The error of a run whose sink a backend has dropped without an end: nobody may wait for it any longer.
pub fn lost(job_id: Option<&str>) -> Error {
    let error = Error::internal(
        "the backend dropped the run without a result; the program may have run (a bug; please report it)",
    );
    let error = error.with_may_have_run(true);
    match job_id {
        Some(id) if !id.is_empty() => error.with_job_id(id),
        _ => error,
    }
}

/// A sink that does nothing: for callers who only want the result.
#[derive(Debug)]
pub struct NoSink;

impl EventSink for NoSink {
    fn wants_output(&self) -> bool {
        false
    }

    fn finished(&self, _end: Result<Job, Error>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_two_plain_numbers() {
        let both = Offsets { stdout: 12, stderr: 3 };
        assert_eq!(both.to_string().parse::<Offsets>().unwrap(), both);
        for wrong in
            ["", "12", "-", "1-", "-1", "+1-2", "1-2-3", "a-b", "1 -2", "99999999999999999999-0"]
        {
            let error = wrong.parse::<Offsets>().unwrap_err();
            assert!(error.message().contains("STDOUT-STDERR"), "{wrong}: {error}");
        }
    }

    #[test]
    fn only_what_lies_behind_a_place_is_left_of_a_piece() {
        let at = Offsets { stdout: 4, stderr: 0 };
        let behind = |offset| at.behind(Stream::Stdout, offset, b"abc");
        assert_eq!(behind(0), None);
        assert_eq!(behind(1), None);
        assert_eq!(behind(2), Some((4, &b"c"[..])));
        assert_eq!(behind(4), Some((4, &b"abc"[..])));
        assert_eq!(behind(9), Some((9, &b"abc"[..])));
        assert_eq!(at.behind(Stream::Stderr, 0, b"abc"), Some((0, &b"abc"[..])));
    }
}
