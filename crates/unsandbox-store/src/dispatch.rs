// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts the jobs that wait, by turns between their owners, and saves their ends. A job is on disk as running before the
//! inner backend gets it: a process that ends then never runs it twice.

use crate::live::{Active, Stage};
use crate::rows::{self, End};
use crate::shared::{PAUSE, Shared, Task};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use unsandbox_protocol::backend::lost;
use unsandbox_protocol::result::EXIT_CANCELLED;
use unsandbox_protocol::{
    CallContext, CancelReason, Error, ErrorCode, Event, EventSink, ExecutionResult, Job, Rerun,
    Status, Submission, ValidRequest, wire,
};

impl Shared {
    /// Starts jobs while the inner backend has places.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        loop {
            let mut live = self.live();
            let Some(job_id) = live.next(self.options.places, Instant::now()) else { return };
            let Some(seq) = live.active.get(&job_id).map(|active| active.seq) else { continue };
            drop(live);
            let (shared, process) = (self.clone(), self.process);
            self.writer.write(
                "record the start of a job",
                move |db| rows::start(db, seq, process),
                move |outcome| shared.started(&job_id, outcome),
            );
        }
    }

    /// The start of a job is on disk, or could not be written.
    fn started(self: &Arc<Self>, job_id: &str, outcome: Result<bool, Error>) {
        let mut live = self.live();
        let Some(active) = live.active.get_mut(job_id) else { return };
        let (owner, bytes, cancelled) =
            (active.owner.clone(), active.request_bytes, active.cancelled);
        match outcome {
            Ok(true) if cancelled.is_none() => {
                active.stage = Stage::Handed;
                live.release(&owner, bytes);
                drop(live);
                if !self.do_later(Task::Start { job_id: job_id.to_string() }) {
                    self.put_back(job_id);
                }
            }
            Ok(true) => {
                live.release(&owner, bytes);
                drop(live);
                let job = cancelled_job(cancelled.unwrap_or(CancelReason::Caller));
                self.ended(job_id, Ok(job), true);
            }
            Ok(false) => {
                // Another process has it.
                live.unhand(&owner);
                live.release(&owner, bytes);
                let gone = live.active.remove(job_id);
                drop(live);
                drop(gone);
                self.dispatch();
            }
            Err(_) => {
                live.unhand(&owner);
                live.wait_again(job_id, PAUSE);
            }
        }
    }

    /// Hands a job to the inner backend; on a thread of its own, since the backend may prepare the run.
    pub(crate) fn hand_over(self: &Arc<Self>, job_id: &str) {
        let Some((seq, owner, token, accepted)) = self.live().active.get(job_id).map(|active| {
            (active.seq, active.owner.clone(), active.token.clone(), active.accepted)
        }) else {
            return;
        };
        self.waits.add(accepted.elapsed());
        let sink = Arc::new(RunSink {
            shared: self.clone(),
            job_id: job_id.to_string(),
            is_accepted: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let body = self.database.read("read a request", |db| rows::request(db, seq));
        let request = body.and_then(|body| {
            let request = wire::decode_request(&body)?.request;
            ValidRequest::new(Cow::Owned(request))
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => return sink.finished(Err(error)),
        };
        let submission = Submission {
            listed: true,
            cancel: token,
            context: CallContext::of(owner),
            kept_as: Some(job_id.to_string()),
            ..Submission::new(request)
        };
        let events: Arc<dyn EventSink> = sink.clone();
        let submitted = catch_unwind(AssertUnwindSafe(|| self.inner.submit(submission, events)));
        if submitted.is_err() {
            let text = "the backend panicked as it took the job (a bug; please report it)";
            sink.finished(Err(Error::internal(text).with_may_have_run(true)));
        }
    }

    /// The run of a job has ended, or was refused.
    fn ended(self: &Arc<Self>, job_id: &str, end: Result<Job, Error>, is_accepted: bool) {
        let is_passing = |error: &Error| {
            matches!(error.code(), ErrorCode::RateLimited | ErrorCode::Conflict | ErrorCode::Store)
                && !error.may_have_run()
        };
        if !is_accepted && end.as_ref().is_err_and(is_passing) {
            return self.put_back(job_id);
        }
        let mut live = self.live();
        let draining = live.draining;
        let Some(active) = live.active.get_mut(job_id) else { return };
        let is_cancelled = end.as_ref().is_ok_and(|job| job.status == Status::Cancelled);
        let stopped = is_cancelled && active.cancelled == Some(CancelReason::Stop);
        if draining && stopped && active.rerun == Rerun::IfLost {
            drop(live);
            return self.put_back(job_id);
        }
        active.stage = Stage::Ending;
        let (seq, owner) = (active.seq, active.owner.clone());
        let job = Arc::new(completed(active, &end, self.unix_seconds()));
        live.unhand(&owner);
        live.ending += 1;
        drop(live);
        let end = end.map(|_| Job::clone(&job));
        let process = Some(self.process);
        self.save(job_id, End { seq, job, process, ended_ms: self.clock.now_ms() }, end);
        self.dispatch();
    }

    /// Writes the end of a job, and then reports it.
    pub(crate) fn save(self: &Arc<Self>, job_id: &str, end: End, told: Result<Job, Error>) {
        let (shared, job_id, job) = (self.clone(), job_id.to_string(), end.job.clone());
        self.writer.write(
            "save a result",
            move |db| rows::finish(db, &end),
            move |outcome| shared.saved(&job_id, job, &told, outcome),
        );
    }

    fn saved(
        self: &Arc<Self>,
        job_id: &str,
        job: Arc<Job>,
        told: &Result<Job, Error>,
        outcome: Result<bool, Error>,
    ) {
        let mut live = self.live();
        live.ending -= 1;
        let (mut gone, mut sinks) = (None, Vec::new());
        if let Some(active) = live.active.get_mut(job_id) {
            sinks = active.take_sinks();
            // One that is not on disk is told from memory until the disk takes it.
            active.stage = Stage::Unsaved(job);
        }
        if outcome.is_ok() {
            gone = live.active.remove(job_id);
        }
        drop(live);
        drop(gone);
        self.changed.notify_all();
        sinks.into_iter().for_each(|sink| sink.finished(told.clone()));
    }

    /// Puts a job back into the queue that was not run, on the disk too.
    fn put_back(self: &Arc<Self>, job_id: &str) {
        let Some(seq) = self.live().active.get(job_id).map(|active| active.seq) else { return };
        let (shared, process, job_id) = (self.clone(), self.process, job_id.to_string());
        self.writer.write(
            "put a job back",
            move |db| rows::put_back(db, seq, process),
            move |outcome| shared.is_put_back(&job_id, outcome.is_ok_and(|changed| changed)),
        );
    }

    fn is_put_back(self: &Arc<Self>, job_id: &str, is_on_disk: bool) {
        let mut live = self.live();
        let Some(active) = live.active.get(job_id) else { return };
        let (owner, bytes) = (active.owner.clone(), active.request_bytes);
        live.unhand(&owner);
        let mut gone = None;
        if is_on_disk && !live.draining {
            live.count(&owner, bytes);
            live.wait_again(job_id, PAUSE);
        } else {
            // A later process finds it: waiting, or as one that this process ran.
            gone = live.active.remove(job_id);
        }
        drop(live);
        drop(gone);
        self.changed.notify_all();
    }

    /// Cancels a job of this process; elsewhere that of another.
    pub(crate) fn cancel_by_id(self: &Arc<Self>, job_id: &str, reason: CancelReason) {
        let mut live = self.live();
        let Some(active) = live.active.get_mut(job_id) else {
            drop(live);
            if reason != CancelReason::Stop {
                let id = job_id.to_string();
                let ask = move |db: &rusqlite::Connection| rows::ask_to_cancel(db, &id);
                self.writer.write("ask for a cancel", ask, |_| {});
            }
            return;
        };
        match active.stage {
            // It stays for a later process.
            Stage::Waiting if reason == CancelReason::Stop => {}
            Stage::Waiting => {
                active.stage = Stage::Ending;
                let (owner, bytes, seq) = (active.owner.clone(), active.request_bytes, active.seq);
                let end = Ok(cancelled_job(reason));
                let job = Arc::new(completed(active, &end, self.unix_seconds()));
                live.waiting.retain(&owner, |waiting| waiting != job_id);
                live.release(&owner, bytes);
                live.ending += 1;
                drop(live);
                let told = Ok(Job::clone(&job));
                let ended_ms = self.clock.now_ms();
                self.save(job_id, End { seq, job, process: None, ended_ms }, told);
            }
            Stage::Starting | Stage::Handed => {
                active.cancelled.get_or_insert(reason);
                let token = active.token.clone();
                drop(live);
                token.cancel_for(reason);
            }
            Stage::Ending | Stage::Unsaved(_) => {}
        }
    }
}

/// A job that was cancelled before it ran.
fn cancelled_job(reason: CancelReason) -> Job {
    let mut job = Job::new("", Status::Cancelled);
    let mut result = ExecutionResult::new(Status::Cancelled);
    result.exit_code = Some(EXIT_CANCELLED);
    result.error = Some(reason.words().to_string());
    job.result = Some(Arc::new(result));
    job
}

/// The finished job of an end, with what its submission said.
fn completed(active: &Active, end: &Result<Job, Error>, now: i64) -> Job {
    let accepted = &active.job;
    let mut result = match end {
        Ok(Job { result: Some(result), .. }) => ExecutionResult::clone(result),
        Ok(Job { status, .. }) => ExecutionResult::new(status.clone()),
        Err(error) => {
            let error = Some(error.to_string());
            ExecutionResult { error, ..ExecutionResult::new(Status::Failed) }
        }
    };
    result.job_id = Some(accepted.job_id.clone());
    result.language = result.language.or_else(|| accepted.language.clone());
    result.detected_language.clone_from(&accepted.detected_language);
    result.network_mode = result.network_mode.or_else(|| accepted.network_mode.clone());
    let total_ms = u64::try_from(active.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.total_time_ms = Some(result.total_time_ms.unwrap_or(0).max(total_ms));
    Job {
        status: result.status.clone(),
        started_at: end.as_ref().ok().and_then(|job| job.started_at),
        completed_at: Some(now),
        result: Some(Arc::new(result)),
        ..accepted.clone()
    }
}

/// Gets the events of a run from the inner backend.
struct RunSink {
    shared: Arc<Shared>,
    job_id: String,
    is_accepted: AtomicBool,
    has_ended: AtomicBool,
}

impl EventSink for RunSink {
    fn event(&self, event: Event<'_>) {
        if let Event::Accepted(_) = event {
            self.is_accepted.store(true, Ordering::SeqCst);
            return;
        }
        let sink = self.shared.live().active.get(&self.job_id).and_then(|it| it.sink.clone());
        if let Some(sink) = sink {
            sink.event(event);
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        if !self.has_ended.swap(true, Ordering::SeqCst) {
            self.shared.ended(&self.job_id, end, self.is_accepted.load(Ordering::SeqCst));
        }
    }
}

impl Drop for RunSink {
    fn drop(&mut self) {
        self.finished(Err(lost(Some(&self.job_id))));
    }
}
