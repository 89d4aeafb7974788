// SPDX-License-Identifier: MIT OR Apache-2.0
//! The backend around a backend.

use crate::clock::StoreClock;
use crate::database::{Database, unusable};
use crate::keys::Name;
use crate::lease;
use crate::live::{Active, Elsewhere, Stage};
use crate::recovery;
use crate::retention::{self, Deleted};
use crate::rows;
use crate::shared::{Opened, Shared, StoreOptions, Task};
use crate::tick::Ticks;
use crate::webhooks;
use crate::writer::Writer;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unsandbox_protocol::adopted::AdoptedJobs;
use unsandbox_protocol::backend::{Capabilities, Health, KeyInfo, LanguageInfo, not_ended};
use unsandbox_protocol::gauges::{Gauges, OwnerGauges, QueueGauges};
use unsandbox_protocol::outbox::Outbox;
use unsandbox_protocol::page::{JobPage, Page, unknown_after};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::{
    Backend, CallContext, CancelReason, CancelToken, Error, ErrorCode, EventSink, Job, Offsets,
    Owner, Probe, Request, Submission, ValidRequest,
};

/// Threads for tasks, such as to give a job to the inner backend, which may prepare it for some milliseconds.
const TASKS_AT_ONCE: usize = 2;
/// How long the ends of cancelled jobs may take at a close.
const LAST_ENDS: Duration = Duration::from_secs(5);

/// A backend that keeps listed jobs on disk, around one that runs them.
pub struct Stored {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.shared.database.path();
        f.debug_struct("Stored").field("path", &path).finish_non_exhaustive()
    }
}

impl Stored {
    /// Opens the store at `path`, which is made if it is missing, with mode 0600. Jobs that wait there are run; those of a
    /// process that has ended are lost, or run again if their submission said so.
    ///
    /// # Errors
    /// CONFIG, if the file cannot be the store; STORE, if it cannot be written.
    pub fn open(
        inner: Arc<dyn Backend>,
        path: &Path,
        options: StoreOptions,
    ) -> Result<Stored, Error> {
        let (sender, tasks) = channel();
        let opened = open(path, &options)?;
        let shared = Arc::new(Shared::new(inner, options, opened, sender));
        let mut threads = Vec::new();
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..TASKS_AT_ONCE {
            let (shared, tasks) = (shared.clone(), tasks.clone());
            threads.push(spawn("unsandbox-tasks", move || do_tasks(&shared, &tasks))?);
        }
        // Dropped, and so closed, if its first work fails.
        let stored = Stored { shared: shared.clone(), threads: Mutex::new(threads) };
        let mut ticks = Ticks::new(shared.clone());
        ticks.tick()?;
        if !shared.live().has_queue {
            log::warn!(
                "another process runs the jobs of {}: it will run those that are submitted here, as it was started, \
                 until it ends",
                path.display()
            );
        }
        let ticking = spawn("unsandbox-ticks", move || ticks.run())?;
        lock(&stored.threads).push(ticking);
        Ok(stored)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name.to_string()).spawn(work).map_err(|error| {
        Error::new(ErrorCode::Server, format!("a thread of the store could not start: {error}"))
    })
}

fn do_tasks(shared: &Arc<Shared>, tasks: &Mutex<Receiver<Task>>) {
    loop {
        // The lock is held while waiting: the other thread waits for the lock instead.
        let next = lock(tasks).recv();
        match next {
            Ok(Task::Start { job_id }) => shared.run(&job_id),
            Ok(Task::Known { job_id, owner, sink }) => shared.known(&job_id, &owner, &sink),
            Ok(Task::TellAdopted) => shared.adopted.tell(),
            Err(_) => return,
        }
    }
}

fn open(path: &Path, options: &StoreOptions) -> Result<Opened, Error> {
    let database = Database::create(path)?;
    let mut id = [0; 8];
    getrandom::fill(&mut id)
        .map_err(|cause| Error::internal("no random numbers").with_cause(cause))?;
    let process = i64::from_le_bytes(id) & i64::MAX;
    let file = lease::process_file(path, process);
    let lease = lease::take(&file).map_err(|error| unusable(&file, error))?;
    let lease = lease.ok_or_else(|| Error::internal("another process has the same random id"))?;
    let writer = Writer::start(&database)?;
    let wall_ms = (options.clock.0)();
    let random = Name::random()?;
    let (name, saved_ms) = writer.write_now("enter this process", move |db| {
        recovery::enter(db, process, wall_ms / 1_000)?;
        // It is saved every few seconds; a job may have ended since.
        let time = "SELECT max(coalesce((SELECT value FROM meta WHERE name = 'time_ms'), 0), \
                    coalesce((SELECT max(ended_ms) FROM jobs WHERE ended_ms IS NOT NULL), 0))";
        let saved_ms = db.query_row(time, [], |row| row.get(0))?;
        Ok((Name::made(db, &random)?, saved_ms))
    })?;
    let clock = StoreClock::new(wall_ms, saved_ms);
    Ok(Opened { database, writer, clock, process, lease, name })
}

impl Shared {
    pub(crate) fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        let mut is_at_the_inner = false;
        let mut active_job = None;
        if let Some(active) = self.live().active.get(job_id) {
            if active.owner != context.owner {
                return Err(self.unknown(job_id));
            }
            is_at_the_inner = matches!(active.stage, Stage::Dispatched);
            active_job = Some(match &active.stage {
                Stage::Ending(ended) if ended.is_reported => Job::clone(&ended.end.job),
                _ => active.job.clone(),
            });
        }
        let Some(mut job) = active_job else {
            let found = self.database.read("read a job", |db| rows::job(db, job_id))?;
            let found = found.filter(|found| found.owner == context.owner);
            return found.map(|found| found.job).ok_or_else(|| self.unknown(job_id));
        };
        // It may wait for its turn there, too.
        if is_at_the_inner && let Ok(now) = self.inner.get_job(job_id, context) {
            (job.status, job.started_at) = (now.status, now.started_at);
        }
        Ok(job)
    }

    pub(crate) fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let mut live = self.live();
        let is_reported =
            |it: &Active| matches!(&it.stage, Stage::Ending(ended) if ended.is_reported);
        if let Some(active) = live.active.get_mut(job_id).filter(|it| !is_reported(it)) {
            if active.owner != context.owner {
                return Err(self.unknown(job_id));
            }
            let others = active.watchers.clone();
            active.watchers.push(sink);
            drop(live);
            self.drop_unwanted(job_id, others);
            return Ok(());
        }
        drop(live);
        let job = self.get_job(job_id, context)?;
        if job.status.is_terminal() {
            sink.finished(Ok(job));
            return Ok(());
        }
        // Another process has it. If it came to this one meanwhile, the next tick notices.
        self.live().elsewhere.push(Elsewhere { job_id: job_id.to_string(), sink });
        self.tick_now.notify_all();
        Ok(())
    }

    /// A page of the jobs that have not ended.
    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        let owner = &context.owner;
        let mut after = match page.after.as_deref() {
            Some(id) => {
                let seq = self.database.read("list jobs", |db| rows::seq_of(db, owner, id))?;
                seq.ok_or_else(|| unknown_after(id))?
            }
            None => 0,
        };
        let mut listed = Vec::new();
        loop {
            // One more than the page has, to know whether the list goes on.
            let most = page.limit.map(|limit| limit + 1 - listed.len());
            let rows =
                self.database.read("list jobs", |db| rows::unfinished(db, owner, after, most))?;
            let is_end = most.is_none_or(|most| rows.len() < most);
            after = rows.last().map_or(after, |(seq, _)| *seq);
            listed.extend(rows.into_iter().filter_map(|(_, job)| self.if_not_ended(job, context)));
            if is_end || page.limit.is_some_and(|limit| listed.len() > limit) {
                return Ok(page.of(listed));
            }
        }
    }

    /// A job of the disk as it is now. The disk says of each that the inner backend has that it runs, and does not know all
    /// ends yet.
    fn if_not_ended(&self, mut job: Job, context: &CallContext) -> Option<Job> {
        let is_active = self.live().active.contains_key(&job.job_id);
        if is_active && let Ok(now) = self.get_job(&job.job_id, context) {
            (job.status, job.started_at) = (now.status, now.started_at);
        }
        Some(job).filter(|job| !job.status.is_terminal())
    }

    /// Removes a job that has ended from the disk.
    pub(crate) fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error> {
        let is_active = || self.live().active.contains_key(job_id);
        if is_active() {
            let job = self.get_job(job_id, context)?;
            if !job.status.is_terminal() {
                return Err(not_ended(&job));
            }
            if is_active() {
                return Err(not_written(job_id));
            }
        }
        let (id, owner) = (job_id.to_string(), context.owner.clone());
        let delete = move |db: &rusqlite::Connection| retention::delete(db, &owner, &id);
        match self.writer.write_now("delete a job", delete)? {
            Deleted::Yes(name) => {
                // Clients learn it with the next reply.
                lock(&self.name).advance(name);
                Ok(())
            }
            Deleted::NotEnded(job) => Err(not_ended(&job)),
            Deleted::Unknown => Err(self.unknown(job_id)),
        }
    }

    /// Removes watchers that are no longer wanted, so that repeated calls do not accumulate. They are asked and dropped
    /// without the lock.
    fn drop_unwanted(&self, job_id: &str, mut watchers: Vec<Arc<dyn EventSink>>) {
        watchers.retain(|watcher| !watcher.is_wanted());
        if watchers.is_empty() {
            return;
        }
        if let Some(active) = self.live().active.get_mut(job_id) {
            active.watchers.retain(|it| !watchers.iter().any(|unwanted| Arc::ptr_eq(it, unwanted)));
        }
    }

    /// Waits until nothing runs here and every end is on disk, or told from memory.
    fn wait_until_idle(&self, until: Option<Instant>, over: impl Fn() -> bool) {
        let mut live = self.live();
        while !live.is_idle() && !over() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let pause = left.unwrap_or(Duration::MAX).min(Duration::from_secs(1));
            let waited = self.ended.wait_timeout(live, pause);
            live = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Starts nothing any more: another process may have the queue from now on.
    fn begin_to_drain(&self) {
        let given = {
            let mut live = self.live();
            live.draining = true;
            live.has_queue = false;
            live.give_up_waiting()
        };
        self.hand_on(given);
        drop(lock(&self.queue_lease).take());
    }

    /// Cancels all jobs that run.
    fn cancel_all(self: &Arc<Self>) {
        let running: Vec<String> = self.live().active.keys().cloned().collect();
        for job_id in running {
            self.cancel_by_id(&job_id, CancelReason::Stop);
        }
    }
}

/// The refusal to delete a job whose end the disk has not taken yet: it would come back with it.
fn not_written(job_id: &str) -> Error {
    let text = format!(
        "the result of job {job_id} could not be written to the store yet; delete it later"
    );
    Error::new(ErrorCode::Store, text).with_retry_after_ms(1_000)
}

impl Backend for Stored {
    fn capabilities(&self) -> Capabilities {
        // A job's standard input is read when it is submitted.
        Capabilities::default()
    }

    fn validate<'a>(&self, request: Cow<'a, Request>) -> Result<ValidRequest<'a>, Error> {
        self.shared.inner.validate(request)
    }

    fn check(&self, request: &ValidRequest<'_>) -> Result<(), Error> {
        self.shared.inner.check(request)
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        Some(self.shared.clone())
    }

    fn watch_adopted(&self, jobs: Arc<dyn AdoptedJobs>) {
        self.shared.adopted.set_listener(jobs);
        self.shared.tell_adopted();
    }

    fn key_store(&self) -> Option<String> {
        Some(lock(&self.shared.name).to_string())
    }

    fn hand_over(&self) {
        self.shared.live().hands_over = true;
        self.shared.begin_to_drain();
    }

    fn drain(&self, now: &CancelToken) {
        self.shared.begin_to_drain();
        let shared = Arc::downgrade(&self.shared);
        let _guard = now.on_cancel(move || {
            if let Some(shared) = shared.upgrade() {
                shared.cancel_all();
                shared.ended.notify_all();
            }
        });
        self.shared.wait_until_idle(None, || now.is_cancelled());
        self.shared.wait_until_idle(Some(Instant::now() + LAST_ENDS), || false);
    }

    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        if !submission.listed {
            return self.shared.inner.submit(submission, sink);
        }
        if let Err(error) = self.shared.accept(submission, &sink) {
            sink.finished(Err(error));
        }
    }

    fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let own = self.shared.watch(job_id, context, sink.clone());
        self.or_inner(own, |inner| inner.watch(job_id, context, sink))
    }

    fn watch_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let own = self.shared.watch_events(job_id, context, from, sink.clone());
        self.or_inner(own, |inner| inner.watch_events(job_id, context, from, sink))
    }

    fn cancel(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let own = self.shared.watch(job_id, context, sink.clone());
        let own = own.map(|()| self.shared.cancel_by_id(job_id, CancelReason::Caller));
        self.or_inner(own, |inner| inner.cancel(job_id, context, sink))
    }

    fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        let own = self.shared.get_job(job_id, context);
        self.or_inner(own, |inner| inner.get_job(job_id, context))
    }

    fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error> {
        let own = self.shared.delete_job(job_id, context);
        self.or_inner(own, |inner| inner.delete_job(job_id, context))
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.shared.list_jobs(page, context)
    }

    fn languages(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.shared.inner.languages(context)
    }

    fn languages_with_versions(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.shared.inner.languages_with_versions(context)
    }

    fn validate_key(&self, context: &CallContext) -> Result<KeyInfo, Error> {
        self.shared.inner.validate_key(context)
    }

    fn usage(&self, context: &CallContext) -> Result<KeyUsage, Error> {
        let mut usage = self.shared.inner.usage(context)?;
        usage.set_now(&self.gauges_of(&context.owner)?);
        let StoreOptions { queue_max, quotas, .. } = &self.shared.options;
        usage.limits.queue = quotas.quota(&context.owner).queue.unwrap_or(*queue_max) as u64;
        Ok(usage)
    }

    fn gauges(&self) -> Gauges {
        let shared = &self.shared;
        let (waiting, is_full) = {
            let live = shared.live();
            (live.waiting_len() as u64, shared.is_full(&live))
        };
        let mut gauges = shared.inner.gauges();
        let waits = shared.waits.times();
        gauges.queues.push(QueueGauges { name: "store", waiting, is_full, waits });
        gauges.store = Some(shared.writer.gauges());
        gauges.webhooks_due = shared.database.read("count webhooks", webhooks::count_due).ok();
        gauges
    }

    fn quotas_changed(&self) {
        self.shared.inner.quotas_changed();
        self.shared.dispatch();
    }

    fn gauges_of(&self, owner: &Owner) -> Result<OwnerGauges, Error> {
        let shared = &self.shared;
        let (jobs, bytes) = shared.database.read("count jobs", |db| rows::kept(db, owner))?;
        let mut gauges = shared.inner.gauges_of(owner)?;
        gauges.waiting += shared.live().waiting_of(owner) as u64;
        gauges.kept_jobs += jobs;
        gauges.kept_bytes += bytes;
        Ok(gauges)
    }

    fn health(&self, context: &CallContext) -> Result<Health, Error> {
        self.shared.inner.health(context)
    }

    fn probe(&self, context: &CallContext) -> Result<Probe, Error> {
        self.shared.inner.probe(context)
    }

    fn close(&self, grace: Duration) {
        let shared = &self.shared;
        shared.begin_to_drain();
        shared.wait_until_idle(Some(Instant::now() + grace), || false);
        shared.cancel_all();
        shared.wait_until_idle(Some(Instant::now() + LAST_ENDS), || false);
        shared.inner.close(Duration::ZERO);
        shared.live().closed = true;
        shared.tick_now.notify_all();
        drop(lock(&shared.tasks).take());
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
        self.leave();
        // Those who wait for the ends of jobs that another process runs hear of none here.
        let waiting = std::mem::take(&mut shared.live().elsewhere);
        drop(waiting);
    }
}

impl Stored {
    /// What the store says of a job, or the inner backend of one that the store does not know: it keeps the
    /// synchronous runs.
    fn or_inner<T>(
        &self,
        own: Result<T, Error>,
        of_inner: impl FnOnce(&dyn Backend) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match own {
            Err(error) if error.code() == ErrorCode::NotFound => {
                of_inner(&*self.shared.inner).map_err(|inner| match inner.code() {
                    // It knows the job.
                    ErrorCode::Conflict => inner,
                    _ => error,
                })
            }
            own => own,
        }
    }

    /// Gives the lease back, unless jobs are on disk as run by this process: the next process finds them lost.
    fn leave(&self) {
        let shared = &self.shared;
        let Some(lease) = lock(&shared.process_lease).take() else { return };
        shared.writer.begin_to_close();
        let process = shared.process;
        let left = shared.writer.write_now("leave the store", move |db| {
            let ours = "SELECT count(*) FROM jobs WHERE process = ?1";
            if db.query_row(ours, [process], |row| row.get::<_, i64>(0))? > 0 {
                return Ok(false);
            }
            db.execute("DELETE FROM processes WHERE id = ?1", [process]).map(|_| true)
        });
        shared.writer.close();
        if let Ok(true) = left {
            let _ = std::fs::remove_file(lease::process_file(shared.database.path(), process));
        }
        drop(lease);
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}
