// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts the jobs that wait, by turns between their owners, and saves their ends. A job is on disk as running before the
//! inner backend gets it: a process that ends then never runs it twice.

use crate::adopted::{AdoptedEnd, KeptRequest};
use crate::live::{Active, Elsewhere, Ended, Stage};
use crate::rows::{self, End};
use crate::shared::{PAUSE, Shared, Task};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use unsandbox_protocol::backend::lost;
use unsandbox_protocol::{
    CallContext, CancelReason, Error, ErrorCode, Event, EventSink, ExecutionResult, Job, Rerun,
    Status, Submission, ValidRequest, wire,
};

impl Shared {
    /// Starts jobs while the inner backend may have more.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        loop {
            let mut live = self.live();
            let Some(job_id) =
                live.next(self.options.concurrency, &*self.options.quotas, Instant::now())
            else {
                return;
            };
            let Some(seq) = live.active.get(&job_id).map(|active| active.seq) else { return };
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
        let draining = live.draining;
        let Some(active) = live.active.get_mut(job_id) else { return };
        let (owner, bytes, cancelled) =
            (active.owner.clone(), active.request_bytes, active.cancelled);
        if let Ok(true) = outcome {
            active.stage = Stage::Dispatched;
        }
        live.has_started(&owner);
        match outcome {
            Ok(true) => {
                live.release(&owner, bytes);
                drop(live);
                if let Some(reason) = cancelled {
                    self.ended(job_id, Ok(cancelled_job(reason)), true);
                } else if !self.do_later(Task::Start { job_id: job_id.to_string() }) {
                    self.requeue(job_id);
                }
            }
            Err(_) if !draining => {
                live.undispatch(&owner, bytes);
                live.wait_again(job_id, PAUSE);
            }
            // Another process has it, or will find it.
            Ok(false) | Err(_) => {
                live.undispatch(&owner, bytes);
                live.release(&owner, bytes);
                let given = live.give_up(job_id);
                drop(live);
                self.hand_on(given);
                self.ended.notify_all();
                self.dispatch();
            }
        }
    }

    /// Hands a job to the inner backend; on a thread of its own, since the backend may prepare the run.
    pub(crate) fn run(self: &Arc<Self>, job_id: &str) {
        let found = self.live().active.get(job_id).map(|active| {
            (active.seq, active.owner.clone(), active.token.clone(), active.accepted)
        });
        let Some((seq, owner, token, accepted)) = found else { return };
        self.waits.add(accepted.elapsed());
        let sink = Arc::new(RunSink {
            shared: self.clone(),
            job_id: job_id.to_string(),
            is_accepted: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let request = match self.request_of(seq) {
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

    /// The request of a job. STORE may pass; any other error is the end of the job.
    fn request_of(&self, seq: i64) -> Result<ValidRequest<'static>, Error> {
        let body = self.database.read("read a request", |db| rows::request(db, seq))?;
        let body = body.ok_or_else(|| {
            Error::internal("its request could not be read from the store; it was not run")
        })?;
        self.inner.validate(Cow::Owned(wire::decode_request(&body)?.request))
    }

    /// The run of a job has ended, or was refused.
    fn ended(self: &Arc<Self>, job_id: &str, end: Result<Job, Error>, is_accepted: bool) {
        let is_passing = |error: &Error| {
            matches!(error.code(), ErrorCode::RateLimited | ErrorCode::Conflict | ErrorCode::Store)
                && !error.may_have_run()
        };
        if !is_accepted && end.as_ref().is_err_and(is_passing) {
            return self.requeue(job_id);
        }
        let mut live = self.live();
        let draining = live.draining;
        let Some(active) = live.active.get_mut(job_id) else { return };
        let is_cancelled = end.as_ref().is_ok_and(|job| job.status == Status::Cancelled);
        let is_stopped = is_cancelled && active.cancelled == Some(CancelReason::Stop);
        if draining && is_stopped && active.rerun == Rerun::IfLost {
            drop(live);
            return self.requeue(job_id);
        }
        let (owner, bytes) = (active.owner.clone(), active.request_bytes);
        self.end(active, end, Some(self.process));
        live.undispatch(&owner, bytes);
        live.ending += 1;
        drop(live);
        self.save(job_id);
        self.dispatch();
    }

    /// Sets the end of a job, which is to be saved.
    fn end(&self, active: &mut Active, end: Result<Job, Error>, process: Option<i64>) {
        let job = Arc::new(completed(active, &end, self.unix_seconds()));
        let report = end.map(|_| Job::clone(&job));
        let end = End::new(active.seq, job, process, self.clock.now_ms());
        active.stage = Stage::Ending(Box::new(Ended { end, report, is_reported: false }));
    }

    /// Writes the end of a job, and then reports it.
    fn save(self: &Arc<Self>, job_id: &str) {
        let live = self.live();
        let Some(active) = live.active.get(job_id) else { return };
        let Stage::Ending(ended) = &active.stage else { return };
        let (end, is_adopted, bytes) = (ended.end.clone(), active.is_adopted, active.request_bytes);
        drop(live);
        let (reading, shared, job_id) = (self.clone(), self.clone(), job_id.to_string());
        let save = move |db: &rusqlite::Connection| {
            // With its end a job loses its request.
            let request = match is_adopted {
                true => reading.adopted.request(db, end.seq(), bytes)?,
                false => None,
            };
            Ok(Saved { is_ours: rows::finish(db, &end)?, request })
        };
        self.writer.write("save a result", save, move |outcome| shared.saved(&job_id, outcome));
    }

    fn saved(self: &Arc<Self>, job_id: &str, outcome: Result<Saved, Error>) {
        let (outcome, request) =
            outcome.map_or_else(|_| (None, None), |saved| (Some(saved.is_ours), saved.request));
        let (mut sinks, mut report, mut is_cancelled) = (Vec::new(), None, false);
        let mut adopted = None;
        let mut live = self.live();
        live.ending -= 1;
        live.retrying.remove(job_id);
        if let Some(active) = live.active.get_mut(job_id)
            && let Stage::Ending(ended) = &mut active.stage
        {
            is_cancelled = active.cancelled == Some(CancelReason::Caller);
            // Counted once the disk has it: if this process ends before, the next one finds the job lost and counts it.
            if active.is_adopted && outcome.is_some_and(|is_ours| is_ours || ended.is_reported) {
                adopted = Some(AdoptedEnd::of(&active.owner, ended, request));
            }
            // An end that the disk refuses is told from memory until it takes it.
            if outcome != Some(false) {
                ended.is_reported = true;
                report = Some(ended.report.clone());
                sinks = active.take_sinks();
            }
        }
        let given = match outcome {
            Some(_) => live.give_up(job_id),
            None => {
                live.unwritten.insert(job_id.to_string());
                None
            }
        };
        drop(live);
        self.hand_on(given);
        if let Some(adopted) = adopted {
            self.adopted_ended(adopted);
        }
        self.ended.notify_all();
        if let Some(report) = report {
            sinks.into_iter().for_each(|sink| sink.finished(report.clone()));
        }
        // Another process has the job.
        if outcome == Some(false) && is_cancelled {
            self.ask_to_cancel(job_id);
        }
    }

    /// Tells the submissions of jobs that were given up; those who wait for the ends go on waiting.
    pub(crate) fn hand_on(&self, given: impl IntoIterator<Item = Active>) {
        for mut active in given {
            // First: from then on the end may be reported.
            if let Some(sink) = &active.sink {
                sink.event(Event::HandedOn);
            }
            let (sinks, job_id) = (active.take_sinks(), &active.job.job_id);
            let elsewhere =
                sinks.into_iter().map(|sink| Elsewhere { job_id: job_id.clone(), sink });
            self.live().elsewhere.extend(elsewhere);
        }
    }

    /// Puts a job back into the queue that was not run, on the disk too.
    fn requeue(self: &Arc<Self>, job_id: &str) {
        let mut live = self.live();
        let draining = live.draining;
        let Some(active) = live.active.get_mut(job_id) else { return };
        active.stage = Stage::Requeueing;
        let (seq, process, job_id) = (active.seq, self.process, job_id.to_string());
        drop(live);
        let shared = self.clone();
        self.writer.write(
            "put a job back into the queue",
            move |db| rows::requeue(db, seq, process, draining),
            move |outcome| shared.requeued(&job_id, &outcome),
        );
    }

    fn requeued(self: &Arc<Self>, job_id: &str, outcome: &Result<bool, Error>) {
        let mut live = self.live();
        live.retrying.remove(job_id);
        let draining = live.draining;
        let Some(active) = live.active.get(job_id) else { return };
        let (owner, bytes) = (active.owner.clone(), active.request_bytes);
        let mut given = None;
        match outcome {
            Err(_) if !draining => {
                live.unwritten.insert(job_id.to_string());
            }
            Ok(true) if !draining => {
                live.unwritten.remove(job_id);
                live.undispatch(&owner, bytes);
                live.count(&owner, bytes);
                live.wait_again(job_id, PAUSE);
            }
            // A later process finds it: waiting, or as one that this process ran.
            _ => {
                live.undispatch(&owner, bytes);
                given = live.give_up(job_id);
            }
        }
        drop(live);
        self.hand_on(given);
        self.ended.notify_all();
    }

    /// Tries the changes again that the disk has refused.
    pub(crate) fn write_again(self: &Arc<Self>) {
        let mut ends = Vec::new();
        let mut requeues = Vec::new();
        let mut live = self.live();
        let due: Vec<String> = live.unwritten.difference(&live.retrying).cloned().collect();
        for job_id in due {
            match live.active.get(&job_id).map(|active| &active.stage) {
                Some(Stage::Ending(_)) => ends.push(job_id.clone()),
                Some(Stage::Requeueing) => requeues.push(job_id.clone()),
                _ => {
                    live.unwritten.remove(&job_id);
                    continue;
                }
            }
            live.retrying.insert(job_id);
        }
        live.ending += ends.len();
        drop(live);
        ends.iter().for_each(|job_id| self.save(job_id));
        requeues.iter().for_each(|job_id| self.requeue(job_id));
    }

    /// Cancels a job of this process; elsewhere that of another.
    pub(crate) fn cancel_by_id(self: &Arc<Self>, job_id: &str, reason: CancelReason) {
        let mut live = self.live();
        let Some(active) = live.active.get_mut(job_id) else {
            drop(live);
            if reason != CancelReason::Stop {
                self.ask_to_cancel(job_id);
            }
            return;
        };
        match active.stage {
            // It stays for a later process.
            Stage::Waiting if reason == CancelReason::Stop => {}
            Stage::Waiting => {
                active.cancel(reason);
                let (owner, bytes) = (active.owner.clone(), active.request_bytes);
                self.end(active, Ok(cancelled_job(reason)), None);
                live.release(&owner, bytes);
                live.ending += 1;
                drop(live);
                self.save(job_id);
            }
            Stage::Starting | Stage::Dispatched | Stage::Requeueing => {
                active.cancel(reason);
                let token = active.token.clone();
                drop(live);
                token.cancel_for(reason);
            }
            Stage::Ending(_) => {}
        }
    }

    /// Asks the process that has a job to cancel it.
    fn ask_to_cancel(&self, job_id: &str) {
        let id = job_id.to_string();
        let ask = move |db: &rusqlite::Connection| rows::ask_to_cancel(db, &id);
        self.writer.write("ask for a cancel", ask, |_| {});
    }
}

/// The outcome of writing an end.
struct Saved {
    /// Not so if another process has the job, or its end is written already.
    is_ours: bool,
    /// Of an adopted job.
    request: Option<KeptRequest>,
}

/// A job that was cancelled before it ran.
fn cancelled_job(reason: CancelReason) -> Job {
    let result = Some(Arc::new(ExecutionResult::cancelled(reason)));
    Job { result, ..Job::new("", Status::Cancelled) }
}

/// The finished job of an end, with what its submission said.
fn completed(active: &Active, end: &Result<Job, Error>, now: i64) -> Job {
    let accepted = &active.job;
    let mut result = match end {
        Ok(Job { result: Some(result), .. }) => ExecutionResult::clone(result),
        Ok(Job { status, .. }) => ExecutionResult::new(status.clone()),
        Err(error) => ExecutionResult::failed(error),
    };
    result.job_id = Some(accepted.job_id.clone());
    result.language = result.language.or_else(|| accepted.language.clone());
    result.detected_language.clone_from(&accepted.detected_language);
    result.network_mode = result.network_mode.or_else(|| accepted.network_mode.clone());
    let total_ms = u64::try_from(active.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.total_time_ms = Some(result.total_time_ms.unwrap_or(0).max(total_ms));
    Job {
        status: result.status.clone(),
        started_at: end.as_ref().map_or(accepted.started_at, |job| job.started_at),
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
            return self.shared.is_at_inner(&self.job_id);
        }
        let mut live = self.shared.live();
        let Some(active) = live.active.get_mut(&self.job_id) else { return };
        if let Event::Started(job) = event {
            (active.job.status, active.job.started_at) = (Status::Running, job.started_at);
        }
        let sink = active.sink.clone();
        drop(live);
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
