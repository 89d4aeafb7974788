// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine's callers and its thread share: the table of jobs, the way to the jailer, and how a
//! job comes to its end.

use crate::egress::Egress;
use crate::engine::EngineOptions;
use crate::jobs::{Record, Table, unix_seconds};
use crate::outcome;
use crate::reactor::{JAILER_ENDED, JAILER_SOCKET, WAKE};
use crate::run::Run;
use crate::start::{Hello, Jailer};
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Instant;
use unsandbox_jailer::message::FromJailer;
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::isolation::{Isolation, Level};
use unsandbox_protocol::{
    CancelReason, CancelToken, Error, ErrorCode, EventSink, ExecutionResult, Job, Status,
};

pub struct Core {
    pub options: EngineOptions,
    pub concurrency: usize,
    pub egress: Arc<Egress>,
    /// A forked copy of the host must leave everything here alone.
    pub process: u32,
    table: Mutex<Table>,
    /// Held while a jailer starts, so that there is never a second one.
    starting: Mutex<()>,
    /// A run waits for room in the jailer's socket.
    pub crowded: AtomicBool,
    /// Signalled when a run ends.
    ended: Condvar,
    pub epoll: Arc<OwnedFd>,
    wake: OwnedFd,
    /// Runs on their way to the reactor.
    pub inbox: Mutex<Vec<(u64, Run)>>,
    pub stopping: AtomicBool,
    /// The reactor sleeps without a time limit.
    pub asleep: AtomicBool,
    pub probe_answer: Mutex<Option<FromJailer>>,
    pub probe_answered: Condvar,
    /// What the running jailer said of this machine.
    pub hello: Mutex<Option<Hello>>,
}

pub fn closed() -> Error {
    Error::new(ErrorCode::Conflict, "the engine is closed")
}

fn system(what: &str) -> impl FnOnce(rustix::io::Errno) -> Error + '_ {
    move |error| {
        Error::new(ErrorCode::Server, format!("the engine could not be set up: {what}: {error}"))
    }
}

impl Core {
    pub fn new(options: EngineOptions) -> Result<Core, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = if options.concurrency == 0 { 2 * cores } else { options.concurrency };
        let egress = Arc::new(Egress::new(&options.egress)?);
        let queue = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll"))?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(system("eventfd"))?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&queue, &wake, data, epoll::EventFlags::IN).map_err(system("epoll"))?;
        Ok(Core {
            options,
            concurrency,
            egress,
            process: std::process::id(),
            table: Mutex::default(),
            starting: Mutex::default(),
            crowded: AtomicBool::new(false),
            ended: Condvar::new(),
            epoll: Arc::new(queue),
            wake,
            inbox: Mutex::default(),
            stopping: AtomicBool::new(false),
            asleep: AtomicBool::new(true),
            probe_answer: Mutex::new(None),
            probe_answered: Condvar::new(),
            hello: Mutex::new(None),
        })
    }

    /// The running jailer, started if need be.
    pub fn ensure_jailer(&self) -> Result<Arc<Jailer>, Error> {
        let _one = self.starting.lock().expect("no panic under this lock");
        if let Some(jailer) = self.jailer() {
            return Ok(jailer);
        }
        if self.table().closed {
            return Err(closed());
        }
        self.adopt(Jailer::start(self.options.isolation)?)
    }

    /// Hands what waits to a new jailer, where the one that it waited for has ended.
    pub fn resume(&self) {
        if self.table().queue.is_empty() {
            return;
        }
        let failed = match self.ensure_jailer() {
            Ok(_) => self.launch_waiting(&mut self.table()),
            Err(error) => {
                let queued = std::mem::take(&mut self.table().queue);
                queued.into_iter().map(|job_id| (job_id, error.clone())).collect()
            }
        };
        self.end_failed(failed);
    }

    /// Makes a jailer the one that runs are handed to, and watches it.
    fn adopt(&self, jailer: Jailer) -> Result<Arc<Jailer>, Error> {
        let jailer = Arc::new(jailer);
        let watch = |fd: &OwnedFd, number| {
            let data = epoll::EventData::new_u64(number);
            epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)
        };
        self.crowded.store(false, Ordering::SeqCst);
        watch(&jailer.socket, JAILER_SOCKET).map_err(system("epoll"))?;
        watch(&jailer.pidfd, JAILER_ENDED).map_err(system("epoll"))?;
        *self.hello.lock().expect("no panic under this lock") = Some(jailer.hello.clone());
        self.table().jailer = Some(jailer.clone());
        Ok(jailer)
    }

    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic under this lock")
    }

    pub fn jailer(&self) -> Option<Arc<Jailer>> {
        self.table().jailer.clone()
    }

    pub fn forget_jailer(&self) -> Option<Arc<Jailer>> {
        let jailer = self.table().jailer.take()?;
        let _ = epoll::delete(&self.epoll, &jailer.socket);
        let _ = epoll::delete(&self.epoll, &jailer.pidfd);
        Some(jailer)
    }

    pub fn job(&self, job_id: &str) -> Option<Job> {
        self.table().any(job_id).map(|record| record.job.clone())
    }

    pub fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// The reactor has to know of a new deadline only if it sleeps without one.
    pub fn wake_if_late(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub fn clear_wake(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }

    pub fn answer_probe(&self, report: FromJailer) {
        *self.probe_answer.lock().expect("no panic under this lock") = Some(report);
        self.probe_answered.notify_all();
    }

    /// Whether finished jobs are still kept.
    pub fn forget_old(&self) -> bool {
        let mut table = self.table();
        table.forget_old(self.options.retention, self.options.retention_max_bytes);
        table.keeps_any()
    }

    pub fn wait_until_idle(&self, deadline: Instant) {
        let mut table = self.table();
        while table.running > 0 || !table.queue.is_empty() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            table = self.ended.wait_timeout(table, rest).expect("no panic under this lock").0;
        }
    }

    /// Cancels the job when the token says so, as long as both live.
    pub fn guard(self: &Arc<Self>, job_id: &str, token: &CancelToken) {
        let (core, id): (Weak<Core>, _) = (Arc::downgrade(self), job_id.to_string());
        let guard = token.on_cancel_for(move |reason| {
            if let Some(core) = core.upgrade() {
                core.cancel_by_id(&id, reason);
            }
        });
        // A job that has ended meanwhile needs no guard; it is dropped without the lock.
        let mut unused = Some(guard);
        if let Some(record) = self.table().any(job_id)
            && !record.job.status.is_terminal()
        {
            record.guard = unused.take();
        }
    }

    pub fn cancel_by_id(&self, job_id: &str, reason: CancelReason) {
        let mut table = self.table();
        let Some(record) = table.any(job_id) else { return };
        if let Some(handle) = &record.handle {
            handle.cancel(reason);
            drop(table);
            self.wake();
        } else if record.waiting.take().is_some() {
            table.queue.retain(|queued| queued != job_id);
            drop(table);
            let mut result = ExecutionResult::new(Status::Cancelled);
            outcome::cancelled(&mut result, reason);
            self.end(job_id, Ok(result));
        }
    }

    pub fn end_failed(&self, failed: Vec<(String, Error)>) {
        for (job_id, error) in failed {
            self.end(&job_id, Err(error));
        }
    }

    /// Ends whatever is left, as cancelled, without waiting for it.
    pub fn abandon(&self) {
        let unfinished = self.table().unfinished();
        for job_id in unfinished {
            let mut result = ExecutionResult::new(Status::Cancelled);
            outcome::cancelled(&mut result, CancelReason::Stop);
            self.end(&job_id, Ok(result));
        }
    }

    /// The end of a run that was launched.
    pub fn end_run(&self, job_id: &str, result: Result<ExecutionResult, Error>) {
        let failed = {
            let mut table = self.table();
            table.running -= 1;
            self.launch_waiting(&mut table)
        };
        self.end(job_id, result);
        self.end_failed(failed);
    }

    /// Completes a job and tells everyone who waits for it.
    fn end(&self, job_id: &str, result: Result<ExecutionResult, Error>) {
        let Some((told, end, guard)) = self.settle(job_id, result) else { return };
        self.ended.notify_all();
        drop(guard);
        let (last, others) = told.split_last().expect("the submission's own sink is one of them");
        for sink in others {
            sink.finished(end.clone());
        }
        last.finished(end);
    }

    /// Writes the end into the table; gives back what has to be told without the lock.
    #[allow(clippy::type_complexity)]
    fn settle(
        &self,
        job_id: &str,
        result: Result<ExecutionResult, Error>,
    ) -> Option<(Vec<Arc<dyn EventSink>>, Result<Job, Error>, Option<CancelGuard>)> {
        let mut table = self.table();
        // It may have ended meanwhile: as one that was abandoned, or cancelled while it waited.
        let record = table.any(job_id).filter(|record| !record.job.status.is_terminal())?;
        record.job.completed_at = Some(unix_seconds());
        record.handle = None;
        let guard = record.guard.take();
        // What is kept is the end alone: a sink may hold as much as a whole server, with this engine in it.
        record.waiting = None;
        let mut told = std::mem::take(&mut record.watchers);
        told.push(std::mem::replace(&mut record.sink, Arc::new(NoSink)));
        let (result, error) = match result {
            Ok(result) => (result, None),
            Err(error) => {
                let mut failed = ExecutionResult::new(Status::Failed);
                failed.error = Some(error.to_string());
                (failed, Some(error))
            }
        };
        let result = Arc::new(self.complete(result, record));
        record.job.status = result.status.clone();
        record.error = error.clone();
        let kept = record.listed || self.options.keep_unlisted;
        let mut job = record.job.clone();
        if kept {
            record.job.result = Some(result.clone());
            table.keep(job_id, self.options.retention, self.options.retention_max_bytes);
        } else {
            table.remove(job_id);
        }
        job.result = Some(result);
        Some((told, error.map_or(Ok(job), Err), guard))
    }

    /// Adds what every result says, however it ended.
    fn complete(&self, mut result: ExecutionResult, record: &Record) -> ExecutionResult {
        result.language = record.job.language.clone();
        result.detected_language = record.job.detected_language.clone();
        result.job_id = Some(record.job.job_id.clone());
        result.network_mode = record.job.network_mode.clone();
        result.execution_mode = Some("cold".to_string());
        result.total_time_ms = Some(record.submitted.elapsed().as_millis() as u64);
        result.isolation =
            self.hello.lock().expect("no panic under this lock").as_ref().map(isolation);
        result
    }
}

/// What every run of a jailer that said `hello` is made of.
fn isolation(hello: &Hello) -> Isolation {
    Isolation {
        level: hello.level.map_or("none", Level::as_str).to_string(),
        layers: hello.layers.clone(),
        missing: hello.missing.clone(),
    }
}
