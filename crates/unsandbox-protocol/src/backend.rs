// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one trait behind which a place runs code: the engine, a remote server, later a fleet.
//! Completion is an event that the backend sends, never a thread that it parks.

use crate::cancel::CancelToken;
use crate::error::Error;
use crate::request::Request;
use crate::result::{ExecutionResult, Job, RawJson};
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};

/// Whose job it is. To any other owner it does not exist.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Owner(pub String);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Where a backend reports what happens to one submission.
///
/// Called from the backend's own threads, without locks held; must not block.
pub trait EventSink: Send + Sync {
    /// Bytes as the program writes them, in order within a stream.
    fn output(&self, _stream: Stream, _bytes: &[u8]) {}

    /// The run step began.
    fn started(&self, _job: &Job) {}

    /// Whether anyone still hears: a backend may drop a watcher that is not wanted any more.
    fn is_wanted(&self) -> bool {
        true
    }

    /// The end, exactly once: a job in a terminal state with its result, or why there is none.
    fn finished(&self, end: Result<Job, Error>);
}

/// One execution on its way to a backend.
pub struct Submission {
    /// Already validated.
    pub request: Request,
    pub owner: Owner,
    /// An asynchronous job, which `list` shows and which outlives its caller.
    pub listed: bool,
    /// Standard input as a stream; takes the place of `request.stdin`.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Ends this execution from any thread.
    pub cancel: CancelToken,
}

impl Submission {
    pub fn new(request: Request) -> Self {
        Submission {
            request,
            owner: Owner::default(),
            listed: false,
            stdin: None,
            cancel: CancelToken::new(),
        }
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("language", &self.request.language)
            .field("listed", &self.listed)
            .finish_non_exhaustive()
    }
}

/// A language as an endpoint offers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LanguageInfo {
    pub name: String,
    pub aliases: Vec<String>,
    /// `None` where the endpoint does not say.
    pub available: Option<bool>,
    pub version: Option<String>,
    pub path: Option<String>,
    /// What to install where it is missing.
    pub install: Option<String>,
    /// Whether this project's tests have never run the recipe that is used or offered here.
    pub untested: bool,
}

/// What `validate_key` gives.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfo {
    pub valid: bool,
    /// `local` for the engine, `self-hosted` at a server of our own; as text whatever a server sends.
    pub tier: Option<String>,
    /// Why it is not valid.
    pub reason: Option<String>,
    pub raw: Option<RawJson>,
}

/// What `health` gives; an endpoint that cannot be reached is an error.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    /// `false` where a server says itself that it takes no work (503 with a status in words).
    pub healthy: bool,
    /// `ok`, `stopping`, or the server's own word.
    pub status: String,
    pub raw: Option<RawJson>,
}

/// A place that runs code.
pub trait Backend: Send + Sync {
    /// Takes one execution and answers at once; its end goes to the sink.
    ///
    /// The job's id is empty where an endpoint tells it only with the result.
    fn submit(&self, submission: Submission, sink: Arc<dyn EventSink>) -> Result<Job, Error>;

    /// Cancels a pending or running job and asks for its end; a finished one is given as it is.
    ///
    /// The end (a job in a terminal state) goes to `sink`, as for a submission.
    fn cancel(&self, owner: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error>;

    fn get(&self, owner: &Owner, job_id: &str) -> Result<Job, Error>;

    /// Reports the job's end to `sink` when it comes, at once if it has come.
    fn watch(&self, owner: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error>;

    /// The pending and running jobs that are `listed`.
    fn list(&self, owner: &Owner) -> Result<Vec<Job>, Error>;

    fn languages(&self) -> Result<Vec<LanguageInfo>, Error>;

    fn validate_key(&self) -> Result<KeyInfo, Error>;

    fn health(&self) -> Result<Health, Error>;

    /// Runs and waits on the calling thread.
    fn execute(
        &self,
        submission: Submission,
        sink: Arc<dyn EventSink>,
    ) -> Result<ExecutionResult, Error> {
        let waiter = Arc::new(Waiter::with_sink(sink));
        self.submit(submission, waiter.clone())?;
        waiter.wait_result()
    }
}

/// A sink that does nothing: for callers who only want the result.
#[derive(Debug)]
pub struct NoSink;

impl EventSink for NoSink {
    fn finished(&self, _end: Result<Job, Error>) {}
}

/// A sink that a thread can wait on; passes output and start on to another sink.
pub struct Waiter {
    end: Mutex<Option<Result<Job, Error>>>,
    arrived: Condvar,
    sink: Arc<dyn EventSink>,
}

impl Waiter {
    pub fn new() -> Self {
        Self::with_sink(Arc::new(NoSink))
    }

    /// Passes every event on to `sink`.
    pub fn with_sink(sink: Arc<dyn EventSink>) -> Self {
        Waiter { end: Mutex::new(None), arrived: Condvar::new(), sink }
    }

    /// Blocks until the end has come.
    pub fn wait(&self) -> Result<Job, Error> {
        let mut end = self.end.lock().expect("no panic under this lock");
        loop {
            if let Some(end) = end.take() {
                return end;
            }
            end = self.arrived.wait(end).expect("no panic under this lock");
        }
    }

    /// As [`Waiter::wait`], for the result alone.
    pub fn wait_result(&self) -> Result<ExecutionResult, Error> {
        let job = self.wait()?;
        job.into_result().ok_or_else(|| Error::internal("a finished job came without its result"))
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl EventSink for Waiter {
    fn output(&self, stream: Stream, bytes: &[u8]) {
        self.sink.output(stream, bytes);
    }

    fn started(&self, job: &Job) {
        self.sink.started(job);
    }

    fn finished(&self, end: Result<Job, Error>) {
        *self.end.lock().expect("no panic under this lock") = Some(end);
        self.arrived.notify_all();
    }
}
