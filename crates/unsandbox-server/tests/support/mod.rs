// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend that does as the code tells it, and a client that sees every byte.
#![allow(dead_code)]

mod gates;

use gates::pass;
pub use gates::{COMPILE_MS, Gate, Hold, RUN_MS};

#[path = "condition.rs"]
pub mod condition;
#[path = "exposition.rs"]
pub mod exposition;
pub mod http;

use condition::Condition;
pub use http::{Reply, Wire, execute_body, read_reply, request};
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, not_ended};
use unsandbox_protocol::feed::report_past;
use unsandbox_protocol::gauges::Gauges;
use unsandbox_protocol::{
    Artifact, Backend, CallContext, CancelReason, CancelToken, Error, ErrorCode, Event, EventSink,
    ExecutionResult, Isolation, Job, JobPage, LimitKind, Offsets, Owner, Page, Probe, Request,
    Status, Stream, Submission, Usage,
};
use unsandbox_server::{KeyRing, Keys, Listen, Server, ServerOptions};

/// How long a test waits for an event before it fails.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs nothing. The code says what happens: `hold` runs until it is released or cancelled, `endless` until it is released, `fail` too, to
/// fail for a reason of ours then, `busy` is
/// refused, `panic` panics, `late` and `late refusal` are answered when [`Fake::decide`] is opened,
/// `slow` keeps the thread of its submission while [`Fake::slow`] is closed, and the rest is in [`outcome`].
#[derive(Default)]
pub struct Fake {
    table: Arc<Table>,
    /// When `late` submissions are answered.
    pub decide: Arc<Gate>,
    /// Where `get_job` and `list_jobs` wait while it is closed.
    pub questions: Hold,
    /// Where `submit` waits with `slow` while it is closed.
    pub slow: Hold,
    /// Where `health` and `validate_key` wait while it is closed.
    pub itself: Hold,
    /// What it says of itself.
    pub condition: Condition,
}

#[derive(Default)]
struct Table {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<String, Entry>,
    submissions: usize,
    accepted: usize,
}

struct Entry {
    owner: Owner,
    listed: bool,
    job: Job,
    /// Ends as a run does that fails for a reason of ours.
    fails: bool,
    sinks: Vec<Arc<dyn EventSink>>,
    /// Of each stream: the output that is kept, and how many bytes of it came before that.
    printed: [(u64, Vec<u8>); 2],
}

impl Entry {
    /// The output behind a place, as events.
    fn replay(&self, from: Offsets, sink: &dyn EventSink) {
        for (stream, (offset, bytes)) in
            [Stream::Stdout, Stream::Stderr].into_iter().zip(&self.printed)
        {
            if let Some((offset, bytes)) = from.behind(stream, *offset, bytes) {
                sink.event(Event::Output { stream, offset, bytes });
            }
        }
    }
}

impl Table {
    fn finish(&self, id: &str, status: Status) {
        self.finish_for(id, status, CancelReason::Caller);
    }

    fn finish_for(&self, id: &str, status: Status, reason: CancelReason) {
        let (end, sinks) = {
            let mut inner = self.inner.lock().unwrap();
            let Some(entry) = inner.jobs.get_mut(id).filter(|e| !e.job.status.is_terminal()) else {
                return;
            };
            let status = if entry.fails { Status::Failed } else { status };
            let mut result = ExecutionResult::new(status.clone());
            result.success = status == Status::Completed;
            result.exit_code = (!entry.fails).then_some(if result.success { 0 } else { -1 });
            result.error = (!result.success).then(|| reason.words().to_string());
            let [(_, out), (_, err)] = &entry.printed;
            result.stdout = if out.is_empty() { b"partial".to_vec() } else { out.clone() };
            result.stderr.clone_from(err);
            result.language.clone_from(&entry.job.language);
            result.job_id = Some(id.to_string());
            entry.job.status = status;
            entry.job.completed_at = Some(1_700_000_001);
            entry.job.result = Some(result.into());
            let broken = || Err(Error::new(ErrorCode::Server, "the jail broke"));
            let end = if entry.fails { broken() } else { Ok(entry.job.clone()) };
            (end, std::mem::take(&mut entry.sinks))
        };
        self.changed.notify_all();
        for sink in sinks {
            sink.finished(end.clone());
        }
    }
}

impl Fake {
    /// Waits until a job has so many watchers.
    pub fn wait_for_sinks(&self, id: &str, count: usize) {
        let inner = self.table.inner.lock().unwrap();
        let fewer = |inner: &mut Inner| inner.jobs[id].sinks.len() < count;
        let (_inner, wait) =
            self.table.changed.wait_timeout_while(inner, TEST_TIMEOUT, fewer).unwrap();
        assert!(!wait.timed_out(), "{id} never had {count} watchers");
    }

    /// Watchers of a job, its submission among them.
    pub fn sinks(&self, id: &str) -> usize {
        self.table.inner.lock().unwrap().jobs[id].sinks.len()
    }

    /// Waits until `count` jobs have this status.
    pub fn wait_for(&self, status: &Status, count: usize) {
        let inner = self.table.inner.lock().unwrap();
        let enough = |inner: &mut Inner| {
            inner.jobs.values().filter(|entry| entry.job.status == *status).count() < count
        };
        let (_inner, wait) =
            self.table.changed.wait_timeout_while(inner, TEST_TIMEOUT, enough).unwrap();
        assert!(!wait.timed_out(), "{count} jobs never became {status}");
    }

    /// Waits until the sinks of `count` submissions have been told that they are accepted.
    pub fn wait_for_accepted(&self, count: usize) {
        let inner = self.table.inner.lock().unwrap();
        let fewer = |inner: &mut Inner| inner.accepted < count;
        let (_inner, wait) =
            self.table.changed.wait_timeout_while(inner, TEST_TIMEOUT, fewer).unwrap();
        assert!(!wait.timed_out(), "{count} submissions were never accepted");
    }

    /// Prints as the program of a job that is held.
    pub fn print(&self, id: &str, stream: Stream, bytes: &[u8]) {
        let (offset, sinks) = {
            let mut inner = self.table.inner.lock().unwrap();
            let entry = inner.jobs.get_mut(id).unwrap();
            let (before, kept) = &mut entry.printed[stream as usize];
            let offset = *before + kept.len() as u64;
            kept.extend_from_slice(bytes);
            (offset, entry.sinks.clone())
        };
        for sink in sinks.iter().filter(|sink| sink.is_wanted()) {
            sink.event(Event::Output { stream, offset, bytes });
        }
    }

    /// Keeps the output of a job no more.
    pub fn forget(&self, id: &str) {
        for (before, kept) in
            &mut self.table.inner.lock().unwrap().jobs.get_mut(id).unwrap().printed
        {
            *before += std::mem::take(kept).len() as u64;
        }
    }

    pub fn submissions(&self) -> usize {
        self.table.inner.lock().unwrap().submissions
    }

    /// Lets every held job complete.
    pub fn release(&self) {
        let ids: Vec<String> = self.table.inner.lock().unwrap().jobs.keys().cloned().collect();
        for id in ids {
            self.table.finish(&id, Status::Completed);
        }
    }
}

/// `exit N` ends with N and a word on stderr, `timeout` and `reduced` are what they say, `artifact`
/// gives a file, `show` tells what was asked for, and anything else comes back as the output.
fn outcome(request: &Request) -> ExecutionResult {
    let mut result = ExecutionResult::new(Status::Completed);
    result.exit_code = Some(0);
    result.stdout = request.code.clone().into_bytes();
    match request.code.as_str() {
        "timeout" => {
            result.status = Status::Timeout;
            result.exit_code = Some(124);
            result.limit = Some(LimitKind::Wall);
            result.error = Some("the program passed its ttl".to_string());
        }
        "reduced" => {
            let missing = vec!["user namespaces".to_string()];
            let level = "reduced".to_string();
            result.isolation = Some(Isolation { level, layers: Vec::new(), missing });
        }
        "timed" => {
            let of = |ms| Some(Usage { wall_time_ms: ms, ..Usage::default() });
            (result.compile, result.usage) = (of(COMPILE_MS), of(RUN_MS));
        }
        "artifact" => result.artifacts.push(artifact("../out.bin", "binary", b"\x7fELF".to_vec())),
        "caps" => {
            result.stdout = vec![0xff; 16 << 20];
            result.stderr = vec![0; 16 << 20];
            result.artifacts.push(artifact("big", "file", vec![7; 32 << 20]));
        }
        // More than a Unix socket holds: on each stream over 1 MB that is not text, and a file.
        "large" => {
            result.stdout = vec![0xff; (1 << 20) + 1];
            result.stderr = vec![0; (1 << 20) + 1];
            result.artifacts.push(artifact("large", "file", vec![7; 1 << 20]));
        }
        "artifacts" => {
            for filename in ["d/a", "e/a", "../e/a", "plain", "plain"] {
                let content = result.artifacts.len().to_string().into_bytes();
                result.artifacts.push(artifact(filename, "file", content));
            }
        }
        "show" => result.stdout = format!("{request:?}").into_bytes(),
        code => {
            if let Some(number) = code.strip_prefix("exit ") {
                result.exit_code = Some(number.parse().unwrap());
                result.stderr = b"a word\n".to_vec();
            }
        }
    }
    result.success = result.exit_code == Some(0);
    result
}

fn artifact(filename: &str, kind: &str, content: Vec<u8>) -> Artifact {
    Artifact { filename: filename.to_string(), kind: kind.to_string(), content, url: None }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    /// Takes a submission; its acceptance and its end go to the sink.
    fn accept(table: &Arc<Table>, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        let Submission { request, listed, cancel, context, .. } = submission;
        let mut inner = table.inner.lock().unwrap();
        inner.submissions += 1;
        let id = format!("job-{}", inner.submissions);
        let mut job = Job::new(&id, Status::Running);
        job.language = request.language.clone();
        job.created_at = Some(1_700_000_000);
        let pending = Job { status: Status::Pending, ..job.clone() };
        let fails = request.code == "fail";
        let is_endless = request.code == "endless";
        let held = fails || is_endless || request.code == "hold";
        if !held {
            let mut result = outcome(&request);
            result.language = request.language.clone();
            result.job_id = Some(id.clone());
            job.status = result.status.clone();
            job.result = Some(result.into());
        }
        let sinks = if held { vec![sink.clone()] } else { Vec::new() };
        let owner = context.owner;
        inner.jobs.insert(
            id.clone(),
            Entry { owner, listed, job: job.clone(), fails, sinks, printed: Default::default() },
        );
        drop(inner);
        sink.event(Event::Accepted(&pending));
        table.inner.lock().unwrap().accepted += 1;
        table.changed.notify_all();
        if request.code == "timed" {
            pass(COMPILE_MS);
            sink.event(Event::Started(&Job { status: Status::Running, ..pending }));
            pass(RUN_MS);
        }
        if is_endless {
            // No cancel reaches it.
        } else if held {
            let table = table.clone();
            // Kept for as long as the token: the guard would take the callback back.
            std::mem::forget(cancel.on_cancel_for(move |reason| {
                table.finish_for(&id, Status::Cancelled, reason);
            }));
        } else {
            sink.finished(Ok(job));
        }
    }

    fn job(&self, id: &str, context: &CallContext) -> Result<Job, Error> {
        let inner = self.table.inner.lock().unwrap();
        let known = inner.jobs.get(id).filter(|entry| entry.owner == context.owner);
        known
            .map(|entry| entry.job.clone())
            .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no job {id:?}")))
    }

    fn busy() -> Error {
        Error::new(ErrorCode::RateLimited, "the queue is full").with_retry_after_ms(1_500)
    }
}

impl Backend for Fake {
    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        match submission.request.code.as_str() {
            "panic" => {
                self.table.inner.lock().unwrap().submissions += 1;
                panic!("as the code says");
            }
            "slow" => {
                self.slow.pass();
                Fake::accept(&self.table, submission, sink);
            }
            "busy" => sink.finished(Err(Fake::busy())),
            // As a backend answers that writes to a disk first.
            "late" | "late refusal" => {
                let (table, decide) = (self.table.clone(), self.decide.clone());
                std::thread::spawn(move || {
                    decide.wait();
                    match submission.request.code.as_str() {
                        "late" => Fake::accept(&table, submission, sink),
                        _ => sink.finished(Err(Fake::busy())),
                    }
                });
            }
            _ => Fake::accept(&self.table, submission, sink),
        }
    }

    fn cancel(
        &self,
        id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.watch(id, context, sink)?;
        self.table.finish(id, Status::Cancelled);
        Ok(())
    }

    fn get_job(&self, id: &str, context: &CallContext) -> Result<Job, Error> {
        self.questions.pass();
        self.job(id, context)
    }

    fn watch(
        &self,
        id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let job = self.job(id, context)?;
        if job.status.is_terminal() {
            sink.finished(Ok(job));
        } else {
            let mut inner = self.table.inner.lock().unwrap();
            let sinks = &mut inner.jobs.get_mut(id).unwrap().sinks;
            sinks.retain(|sink| sink.is_wanted());
            sinks.push(sink);
            self.table.changed.notify_all();
        }
        Ok(())
    }

    /// One at a time, so that what is printed meanwhile comes after it.
    fn watch_events(
        &self,
        id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let job = self.job(id, context)?;
        if job.status.is_terminal() {
            report_past(Job { started_at: Some(1_700_000_000), ..job }, from, &*sink);
            return Ok(());
        }
        sink.event(Event::Accepted(&job.as_accepted()));
        sink.event(Event::Started(&job.as_started()));
        let mut inner = self.table.inner.lock().unwrap();
        let entry = inner.jobs.get_mut(id).unwrap();
        entry.sinks.retain(|sink| sink.is_wanted());
        entry.replay(from, &*sink);
        entry.sinks.push(sink);
        self.table.changed.notify_all();
        Ok(())
    }

    fn delete_job(&self, id: &str, context: &CallContext) -> Result<(), Error> {
        let job = self.job(id, context)?;
        if !job.status.is_terminal() {
            return Err(not_ended(&job));
        }
        self.table.inner.lock().unwrap().jobs.remove(id);
        Ok(())
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.questions.pass();
        let inner = self.table.inner.lock().unwrap();
        let active = inner
            .jobs
            .values()
            .filter(|entry| entry.listed && entry.owner == context.owner)
            .filter(|entry| !entry.job.status.is_terminal());
        let mut active: Vec<Job> = active.map(|entry| entry.job.clone()).collect();
        active.sort_by(|a, b| a.job_id.cmp(&b.job_id));
        page.cut(active)
    }

    fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        Ok(vec![LanguageInfo {
            name: "python".into(),
            aliases: vec!["py".into()],
            available: Some(true),
            version: None,
            path: None,
            install: None,
            untested: false,
        }])
    }

    fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> {
        self.itself.pass();
        Ok(KeyInfo { valid: true, tier: Some("local".into()), reason: None, raw: None })
    }

    fn health(&self, _: &CallContext) -> Result<Health, Error> {
        self.itself.pass();
        self.condition.0.lock().unwrap().health.clone()
    }

    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        self.condition.0.lock().unwrap().probe.clone()
    }

    fn gauges(&self) -> Gauges {
        self.condition.0.lock().unwrap().gauges.clone()
    }

    fn close(&self, _: Duration) {}
}

/// A server on its own thread; stopped and joined when dropped.
pub struct Running {
    pub backend: Arc<Fake>,
    pub address: String,
    /// That of the metrics alone.
    pub metrics: Option<String>,
    pub stop: CancelToken,
    pub stop_now: CancelToken,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

pub fn start(options: ServerOptions) -> Running {
    start_at("127.0.0.1:0", options)
}

pub fn start_at(listen: &str, options: ServerOptions) -> Running {
    let backend = Arc::new(Fake::default());
    let server = Server::new(backend.clone(), options);
    let bound = server.bind(&Listen::parse(listen).unwrap()).unwrap();
    let (address, metrics) = (bound.address().to_string(), bound.metrics_address());
    let (stop, stop_now) = (CancelToken::new(), CancelToken::new());
    let thread = std::thread::spawn({
        let (stop, stop_now) = (stop.clone(), stop_now.clone());
        move || bound.run_until(&stop, &stop_now)
    });
    Running { backend, address, metrics, stop, stop_now, thread: Some(thread) }
}

pub fn keyed(keys: &str) -> ServerOptions {
    ServerOptions { keys: KeyRing::of(Keys::from_words(keys).unwrap()), ..ServerOptions::default() }
}

impl Running {
    /// Waits until the server has returned.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }

    pub fn host(&self) -> &str {
        self.address.strip_prefix("http://").unwrap_or("localhost")
    }

    pub fn connect(&self) -> Box<dyn Wire> {
        if let Some(path) = self.address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
            return Box::new(stream);
        }
        let stream = TcpStream::connect(self.host()).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        Box::new(stream)
    }

    /// Sends a request and leaves its reply to be read.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Box<dyn Wire> {
        let mut stream = self.connect();
        stream.write_all(&request(self.host(), method, path, headers, body)).unwrap();
        stream
    }

    pub fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        read_reply(&mut self.send(method, path, headers, body))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, "", b"")
    }

    pub fn execute(&self, code: &str) -> Reply {
        self.call("POST", "/execute", "", execute_body(code).as_bytes())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_now.cancel();
        self.join();
    }
}
