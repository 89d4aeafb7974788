// SPDX-License-Identifier: MIT OR Apache-2.0
//! An inner backend that runs nothing, and callers that wait.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use unsandbox_protocol::backend::{Health, IdempotencyKey, KeyInfo, LanguageInfo};
use unsandbox_protocol::usage::{KeyAllowance, KeyUsage};
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{
    Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink, ExecutionResult, Job,
    JobPage, Owner, Page, Probe, Request, Rerun, Status, Submission, ValidRequest,
};
use unsandbox_store::{StoreOptions, Stored, WallClock};

pub const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A job that runs, and its sink.
type Held = (Job, Arc<dyn EventSink>);
type Run = Box<dyn Fn(&Submission<'static>) + Send + Sync>;

/// Completes each job with its code as standard output; one whose code is `hold` when it is released or cancelled.
#[derive(Default)]
pub struct Fake {
    held: Mutex<HashMap<String, Held>>,
    changed: Condvar,
    /// The codes of the jobs that were started, in order.
    pub started: Mutex<Vec<String>>,
    pub refuses: AtomicUsize,
    /// Called as a run begins.
    pub on_run: Mutex<Option<Run>>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

pub fn done(job: &Job, status: Status, stdout: &str) -> Job {
    let mut result = ExecutionResult::new(status.clone());
    result.success = status == Status::Completed;
    result.exit_code = Some(0);
    result.stdout = stdout.as_bytes().to_vec();
    result.job_id = Some(job.job_id.clone());
    Job { status, result: Some(Arc::new(result)), started_at: Some(1), ..job.clone() }
}

impl Fake {
    pub fn started(&self) -> Vec<String> {
        self.started.lock().unwrap().clone()
    }

    /// Waits until so many jobs have been started.
    pub fn wait_for_started(&self, count: usize) -> Vec<String> {
        let started = self.started.lock().unwrap();
        let fewer = |started: &mut Vec<String>| started.len() < count;
        let waited = self.changed.wait_timeout_while(started, TEST_TIMEOUT, fewer).unwrap();
        assert!(!waited.1.timed_out(), "{count} jobs were never started: {:?}", waited.0);
        waited.0.clone()
    }

    /// Waits until so many jobs are held.
    pub fn wait_for_held(&self, count: usize) {
        let held = self.held.lock().unwrap();
        let waited = self.changed.wait_timeout_while(held, TEST_TIMEOUT, |held| held.len() < count);
        assert!(!waited.unwrap().1.timed_out(), "{count} jobs were never held");
    }

    fn end(&self, job_id: &str, status: Status) {
        let held = self.held.lock().unwrap().remove(job_id);
        if let Some((job, sink)) = held {
            sink.finished(Ok(done(&job, status, "held")));
        }
    }

    pub fn release_all(&self) {
        let ids: Vec<String> = self.held.lock().unwrap().keys().cloned().collect();
        ids.iter().for_each(|id| self.end(id, Status::Completed));
    }
}

/// The inner backend as an `Arc`, so that a cancel finds it.
#[derive(Clone, Default, Debug)]
pub struct Inner(pub Arc<Fake>);

impl Backend for Inner {
    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        let fake = &self.0;
        let refused =
            fake.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if refused.is_ok() {
            return sink.finished(Err(Error::new(ErrorCode::RateLimited, "the engine is full")));
        }
        let job_id = submission.kept_as.clone().unwrap_or_else(|| "inner".to_string());
        let job = Job::new(job_id, Status::Running);
        sink.event(Event::Accepted(&job));
        if let Some(run) = &*fake.on_run.lock().unwrap() {
            run(&submission);
        }
        let code = submission.request.code.clone();
        if code.starts_with("hold") {
            let (inner, id) = (Arc::downgrade(fake), job.job_id.clone());
            fake.held.lock().unwrap().insert(id.clone(), (job, sink));
            let guard = submission.cancel.on_cancel(move || {
                if let Some(inner) = inner.upgrade() {
                    inner.end(&id, Status::Cancelled);
                }
            });
            std::mem::forget(guard);
        } else {
            sink.finished(Ok(done(&job, Status::Completed, &code)));
        }
        fake.started.lock().unwrap().push(code);
        fake.changed.notify_all();
    }

    fn watch(&self, id: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> {
        Err(Error::new(ErrorCode::NotFound, format!("{id} is unknown")))
    }

    fn cancel(&self, id: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> {
        Err(Error::new(ErrorCode::NotFound, format!("{id} is unknown")))
    }

    fn get_job(&self, id: &str, _: &CallContext) -> Result<Job, Error> {
        let held = self.0.held.lock().unwrap();
        let found = held.get(id).map(|(job, _)| job.clone());
        found.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("{id} is unknown")))
    }

    fn delete_job(&self, id: &str, _: &CallContext) -> Result<(), Error> {
        Err(Error::new(ErrorCode::NotFound, format!("{id} is unknown")))
    }

    fn list_jobs(&self, _: &Page, _: &CallContext) -> Result<JobPage, Error> {
        Ok(JobPage::default())
    }

    fn check(&self, request: &ValidRequest<'_>) -> Result<(), Error> {
        match request.code.as_str() {
            "unavailable" => Err(Error::new(ErrorCode::LanguageUnavailable, "it is missing here")),
            _ => Ok(()),
        }
    }

    fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        Ok(Vec::new())
    }

    fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> {
        Err(Error::internal("not asked"))
    }

    fn usage(&self, _: &CallContext) -> Result<KeyUsage, Error> {
        let limits = KeyAllowance { concurrency: 2, queue: 3, ..KeyAllowance::default() };
        Ok(KeyUsage { since: 7, limits, ..KeyUsage::default() })
    }

    fn health(&self, _: &CallContext) -> Result<Health, Error> {
        Ok(Health { healthy: true, status: "ok".into(), raw: None })
    }

    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        Err(Error::internal("not asked"))
    }

    fn close(&self, _: Duration) {}
}

/// A directory of its own, removed at the end.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("store-{name}-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    pub fn db(&self) -> PathBuf {
        self.0.join("u.db")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn owner(name: &str) -> CallContext {
    CallContext::of(Owner(name.to_string()))
}

pub fn open(place: &Place, options: StoreOptions) -> (Stored, Arc<Fake>) {
    let inner = Inner::default();
    let fake = inner.0.clone();
    (Stored::open(Arc::new(inner), &place.db(), options).unwrap(), fake)
}

/// A clock that the test sets.
pub fn clock(ms: &Arc<AtomicI64>) -> WallClock {
    let ms = ms.clone();
    WallClock(Arc::new(move || ms.load(Ordering::SeqCst)))
}

/// A job of `owner`; its id, once it is accepted.
pub fn submit(stored: &Stored, by: &str, code: &str) -> Result<Job, Error> {
    submit_as(stored, by, Request::new("bash", code), None)
}

pub fn key(key: &str, print: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: key.into(), fingerprint: [print; 32], may_be_new: true })
}

pub fn submit_as(
    stored: &Stored,
    by: &str,
    request: Request,
    idempotency: Option<IdempotencyKey>,
) -> Result<Job, Error> {
    let submission = Submission {
        listed: true,
        context: owner(by),
        idempotency,
        cancel: CancelToken::new(),
        ..Submission::validated(request).unwrap()
    };
    let (sink, accepted) = Answer::sink();
    stored.submit(submission, sink);
    accepted.recv_timeout(TEST_TIMEOUT).expect("an answer")
}

pub fn rerun(code: &str) -> Request {
    Request::new("bash", code).rerun(Rerun::IfLost)
}

/// Gets the acceptance of a submission, or its refusal.
struct Answer(Mutex<std::sync::mpsc::Sender<Result<Job, Error>>>);

impl Answer {
    fn sink() -> (Arc<dyn EventSink>, Receiver<Result<Job, Error>>) {
        let (sender, receiver) = channel();
        (Arc::new(Answer(Mutex::new(sender))), receiver)
    }
}

impl EventSink for Answer {
    fn event(&self, event: Event<'_>) {
        if let Event::Accepted(job) = event {
            let _ = self.0.lock().unwrap().send(Ok(job.clone()));
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        let _ = self.0.lock().unwrap().send(end);
    }
}

/// The end of a job.
pub fn wait(stored: &Stored, by: &str, job_id: &str) -> Result<Job, Error> {
    let waiter = Waiter::new();
    stored.watch(job_id, &owner(by), waiter.sink())?;
    let context = CallContext { deadline: Some(TEST_TIMEOUT), ..owner(by) };
    waiter.wait_within(job_id, &context)
}

pub fn stdout(job: &Job) -> String {
    job.result.as_ref().map_or(String::new(), |result| result.stdout_text().into_owned())
}
