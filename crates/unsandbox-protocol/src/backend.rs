// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one trait behind which code is run: the engine, a server, later a store or a fleet around them.
//!
//! Submissions have two forms. In the event form (`submit`, `watch`, `watch_events`, `cancel`) the backend does not wait
//! for the run and reports to a sink; in the blocking form (`execute`, `submit_job`, `wait_job`, `cancel_job`) the
//! calling thread waits. A backend needs to write only the event form, and of that `watch_events` only to tell more
//! than the end.

use crate::adopted::AdoptedJobs;
use crate::cancel::{CancelGuard, CancelToken};
use crate::error::{Error, ErrorCode};
use crate::feed::OutputAtEnd;
use crate::gauges::{Gauges, OwnerGauges};
use crate::isolation::Probe;
use crate::outbox::Outbox;
use crate::page::{JobPage, Page};
use crate::request::Request;
use crate::result::{ExecutionResult, Job, RawJson};
use crate::usage::KeyUsage;
use crate::validate::ValidRequest;
use crate::waiter::Waiter;
use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

pub use crate::events::{
    CallContext, Event, EventSink, NoSink, Offsets, Owner, Stream, cancelled, lost, not_ended,
    past_deadline, result_in, result_of, stopping,
};

/// One execution on its way to a backend.
pub struct Submission<'a> {
    /// What to run, after validation.
    pub request: ValidRequest<'a>,
    /// An asynchronous job, which `list_jobs` shows and which outlives its caller.
    pub listed: bool,
    /// Standard input as a stream; takes the place of `request.stdin`.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Ends the execution from any thread, that of a listed job too.
    pub cancel: CancelToken,
    /// Where the choice exists: submit it as a job, so that it can be cancelled in any case.
    pub as_job: bool,
    /// Of the call that submits. Its deadline and its token bound an execution that is not listed, and of a
    /// listed one only the submission.
    pub context: CallContext,
    /// The id of a job that the submitter keeps itself: the backend gives it this id, and need not keep its result.
    pub kept_as: Option<String>,
    /// Recognises a repetition, for a backend that has a [`Backend::key_store`].
    pub idempotency: Option<IdempotencyKey>,
}

/// The key of a submission that may be repeated, and what it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// As the client sent it; unique for each owner.
    pub key: String,
    /// A digest of the request: a repetition has the same.
    pub fingerprint: [u8; 32],
    /// Whether a key that is not known may stand for a new submission. A key that names a store of keys which is gone
    /// may not.
    pub may_be_new: bool,
}

impl<'a> Submission<'a> {
    /// A submission that is not listed, with a new token and the default context.
    pub fn new(request: ValidRequest<'a>) -> Self {
        Submission {
            request,
            listed: false,
            stdin: None,
            cancel: CancelToken::new(),
            as_job: false,
            context: CallContext::default(),
            kept_as: None,
            idempotency: None,
        }
    }

    /// Checks a request by [`ValidRequest::new`] and makes a submission of it.
    ///
    /// # Errors
    ///
    /// ARGUMENT if the request breaks a rule.
    pub fn validated(request: Request) -> Result<Submission<'static>, Error> {
        ValidRequest::new(Cow::Owned(request)).map(Submission::new)
    }

    /// Cancels an execution that is not listed with the token of its context too, as long as the guard exists.
    pub fn link_context(&self) -> Option<CancelGuard> {
        if self.listed || self.cancel.is_same(&self.context.cancel) {
            return None;
        }
        let cancel = self.cancel.clone();
        Some(self.context.cancel.on_cancel_for(move |reason| cancel.cancel_for(reason)))
    }

    /// The same submission with a request of its own, for a backend that keeps it longer than the call.
    pub fn into_owned(self) -> Submission<'static> {
        let Submission { request, listed, stdin, cancel, as_job, context, kept_as, idempotency } =
            self;
        let request = request.into_owned();
        Submission { request, listed, stdin, cancel, as_job, context, kept_as, idempotency }
    }
}

impl fmt::Debug for Submission<'_> {
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
    /// Canonical name, which requests use.
    pub name: String,
    /// Other names that the endpoint takes for it.
    pub aliases: Vec<String>,
    /// `None` where the endpoint does not say.
    pub available: Option<bool>,
    /// Version of its runtime, as `3.12.1`; `None` where it was not asked for or not found.
    pub version: Option<String>,
    /// Path of its main program on the endpoint's machine; `None` where that is missing or not told.
    pub path: Option<String>,
    /// What to install where it is missing.
    pub install: Option<String>,
    /// Whether this project's tests have never run the recipe that is used or offered here.
    pub untested: bool,
}

/// What `validate_key` gives.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyInfo {
    /// Whether the endpoint takes the key.
    pub valid: bool,
    /// `local` for the engine, `self-hosted` at a server of our own; as text whatever a server sends.
    pub tier: Option<String>,
    /// Why it is not valid.
    pub reason: Option<String>,
    /// The server's own JSON; `None` on the local engine.
    pub raw: Option<RawJson>,
}

/// What `health` gives; an endpoint that cannot be reached is an error.
#[derive(Clone, PartialEq, Debug)]
pub struct Health {
    /// `false` where a server says itself that it takes no work (503 with a status in words).
    pub healthy: bool,
    /// `ok`, `stopping`, or the server's own word.
    pub status: String,
    /// The server's own JSON; `None` on the local engine, or if the reply was not a JSON object.
    pub raw: Option<RawJson>,
}

/// What callers have to know of a backend before they call it. The default is what a server has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// Its jobs go on, and can be asked for, when this process has ended.
    pub keeps_jobs: bool,
    /// Standard input reaches the program as it is read. Elsewhere all of it is read before the program starts.
    pub streams_stdin: bool,
}

impl Capabilities {
    /// Of a backend that runs code in the process of its caller.
    pub const IN_PROCESS: Capabilities = Capabilities { keeps_jobs: false, streams_stdin: true };
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { keeps_jobs: true, streams_stdin: false }
    }
}

/// Runs code. Shared by threads.
pub trait Backend: Send + Sync + fmt::Debug {
    /// What callers have to know of it before they call; unless said otherwise, that it is like a server.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Checks a request by the rules of this backend. As a rule they are [`ValidRequest::new`]; one that detects
    /// the language itself leaves it open.
    ///
    /// # Errors
    ///
    /// ARGUMENT if the request breaks a rule.
    fn validate<'a>(&self, request: Cow<'a, Request>) -> Result<ValidRequest<'a>, Error> {
        ValidRequest::new(request)
    }

    /// Whether it would take the request now: its language, its network and its isolation. For a backend that keeps the
    /// request and submits it later.
    ///
    /// # Errors
    ///
    /// As [`Backend::submit`] reports them before the acceptance.
    fn check(&self, _request: &ValidRequest<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// The name of the store in which it remembers the idempotency keys of listed submissions, if it remembers them: a
    /// repetition is then answered with the job of the first, also after a restart.
    fn key_store(&self) -> Option<String> {
        None
    }

    /// The webhooks that it keeps on disk, if it keeps them. Without it a submission with `callback_url` is refused.
    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        None
    }

    /// Tells of adopted jobs, those whose submissions another process took, when they end here. Ends since this process
    /// began to use the backend are told at once, as far as they are kept: a backend may keep them for a few seconds only.
    /// A later call takes the place of an earlier one. For a backend whose jobs end with the process there is nothing to
    /// do.
    fn watch_adopted(&self, _jobs: Arc<dyn AdoptedJobs>) {}

    /// Its state and its measurements, for metrics. Called often, so that it must not ask another machine.
    fn gauges(&self) -> Gauges {
        Gauges::default()
    }

    /// What it has of one owner now; all zero where it does not count.
    ///
    /// # Errors
    ///
    /// STORE if what is kept cannot be read.
    fn gauges_of(&self, _owner: &Owner) -> Result<OwnerGauges, Error> {
        Ok(OwnerGauges::default())
    }

    /// The quotas of owners have changed: what waits may start now.
    fn quotas_changed(&self) {}

    /// Leaves the jobs that wait here to another process, and those that are submitted from now on too, if they outlive
    /// this one. For other backends there is nothing to do.
    fn hand_over(&self) {}

    /// Starts no job that waits here, and returns when none runs; `now` cancels those that run. A backend whose jobs
    /// outlive the process leaves the waiting ones to a later one. For others there is nothing to do.
    fn drain(&self, _now: &CancelToken) {}

    /// Takes one execution and does not wait for it. Whether it is accepted is an event: a backend may have to write
    /// it to a disk first, or to ask somebody.
    ///
    /// A backend may prepare the run on the calling thread before it returns: the engine reads the source, lays out the
    /// files and, for the first run, starts its jailer. This takes milliseconds for most requests, and longer for the
    /// largest ones. An event loop that must not wait calls it on another thread.
    ///
    /// The job's id is empty where an endpoint tells it only with the result.
    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>);

    /// Reports the job's end to `sink` when it comes, at once if it has come.
    fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error>;

    /// Reports to `sink` what [`Backend::watch`] does and, before that, what a submission's own sink hears: that the job
    /// is accepted, that it has started, and its output behind `from`. The past is told at once, the rest as it happens;
    /// the output of a stream comes in order, each byte once. Where bytes are not kept any more, the next piece has a
    /// larger offset than the last one ended at. A backend that has to ask elsewhere stops when the context's token is
    /// cancelled.
    ///
    /// As written here, for a backend that keeps no output of running jobs: the output comes with the end.
    fn watch_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.watch(job_id, context, Arc::new(OutputAtEnd { sink, from }))
    }

    /// Cancels a pending or running job; one that has ended stays as it is. The end (a job in a terminal
    /// state) goes to `sink`, as with [`Backend::watch`].
    fn cancel(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error>;

    /// The job as it is now, with its result once it has ended.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the owner has no such job; JOB_LOST if a server has forgotten one that it had accepted.
    fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error>;

    /// Removes a job that has ended, with its result and its idempotency key. A job that waits or runs stays as it is.
    ///
    /// # Errors
    ///
    /// CONFLICT if it has not ended ([`not_ended`]); NOT_FOUND if the owner has no such job; ARGUMENT where the endpoint
    /// cannot delete jobs.
    fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error>;

    /// The pending and running jobs that are `listed`, in the order of their submissions; of these the page.
    ///
    /// # Errors
    ///
    /// ARGUMENT if [`Page::after`] is not a job of the owner ([`unknown_after`](crate::page::unknown_after)). One that
    /// has ended since, and is kept, has its place in the order still; so a walk over pages meets each job that goes on.
    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error>;

    /// The languages that the endpoint knows; the engine gives no versions here.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    fn languages(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error>;

    /// As [`Backend::languages`]. Where versions are known only after each runtime was asked, this asks.
    fn languages_with_versions(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.languages(context)
    }

    /// Whether the endpoint takes the key. A key that is refused is an answer, not an error.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    fn validate_key(&self, context: &CallContext) -> Result<KeyInfo, Error>;

    /// What the key may have of the endpoint, what it has now, and what it has used; unless written, a backend that
    /// counts nothing.
    ///
    /// # Errors
    ///
    /// ARGUMENT where the endpoint does not tell it; otherwise why it did not answer.
    fn usage(&self, _context: &CallContext) -> Result<KeyUsage, Error> {
        Err(Error::argument("usage is not told by this backend, which does not count it"))
    }

    /// Whether the endpoint takes work now.
    ///
    /// # Errors
    ///
    /// Why it did not answer, or that its answer tells nothing about the server.
    fn health(&self, context: &CallContext) -> Result<Health, Error>;

    /// Which layers of isolation this machine gives.
    ///
    /// # Errors
    ///
    /// ARGUMENT from a backend that runs code elsewhere.
    fn probe(&self, context: &CallContext) -> Result<Probe, Error>;

    /// Refuses new submissions, waits up to `grace` for what runs, then ends everything. Calls after that are
    /// CONFLICT, or as before where nothing but idle connections had to be ended.
    fn close(&self, grace: Duration);

    /// Runs and waits on the calling thread. Deadline and tokens are kept by [`Backend::submit`]; a backend that has
    /// not reported the end a second after that is left, and the call fails with TIMEOUT or CANCELLED.
    fn execute(
        &self,
        submission: Submission<'_>,
        sink: Arc<dyn EventSink>,
    ) -> Result<ExecutionResult, Error> {
        let (mut context, cancel) = (submission.context.clone(), submission.cancel.clone());
        if submission.listed {
            // It bounds only the submission.
            context = CallContext::default();
        }
        let waiter = Waiter::with_sink(sink);
        let _link = submission.link_context();
        self.submit(submission.into_owned(), waiter.sink());
        let end = waiter.wait_executed(&context, &cancel).inspect_err(|error| {
            if matches!(error.code(), ErrorCode::Timeout | ErrorCode::Cancelled) {
                cancel.cancel(); // nobody waits for the program any more
            }
        });
        result_of(end, &cancel)
    }

    /// Submits and waits until the job is accepted. A backend may report nothing further to the sink of a listed
    /// job: its end is found by its id. If the context ends the waiting, `submission.cancel` is cancelled: nobody
    /// has the id of the job.
    fn submit_job(
        &self,
        submission: Submission<'_>,
        sink: Arc<dyn EventSink>,
    ) -> Result<Job, Error> {
        let (context, cancel) = (submission.context.clone(), submission.cancel.clone());
        let waiter = Waiter::before(sink);
        self.submit(submission.into_owned(), waiter.sink());
        waiter.wait_accepted(&context).inspect_err(|error| {
            if matches!(error.code(), ErrorCode::Timeout | ErrorCode::Cancelled) {
                cancel.cancel();
            }
        })
    }

    /// Waits for the end of a job. The context's token and deadline end only the waiting.
    fn wait_job(&self, job_id: &str, context: &CallContext) -> Result<ExecutionResult, Error> {
        let waiter = Waiter::new();
        self.watch(job_id, context, waiter.sink())?;
        let end = waiter.wait_within(job_id, context)?;
        result_in(end)
    }

    /// Cancels a job and waits for its end. The context's token and deadline end only the waiting.
    fn cancel_job(&self, job_id: &str, context: &CallContext) -> Result<ExecutionResult, Error> {
        let waiter = Waiter::new();
        self.cancel(job_id, context, waiter.sink())?;
        let end = waiter.wait_within(job_id, context)?;
        result_in(end)
    }
}
