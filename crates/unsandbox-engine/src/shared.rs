// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state that the engine's callers and its reactor share: the jobs and the link to the jailer. Jobs end here.
//!
//! Lock order: [`JailerLink`]'s `starting`, then the jobs, then the link's other locks. Sinks and cancel registrations
//! are called and dropped without any lock.

use crate::egress::Egress;
use crate::jailer::link::{JailerLink, system};
use crate::jailer::start::Jailer;
use crate::jailer::token;
use crate::jobs::follower::Follower;
use crate::jobs::store::MemoryStore;
use crate::jobs::{Jobs, Record, tell, unix_seconds};
use crate::measured::Measured;
use crate::options::EngineOptions;
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::{NoSink, past_deadline};
use unsandbox_protocol::gauges::OwnerGauges;
use unsandbox_protocol::limits::TTL_MAX_SECONDS;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::{KeyAllowance, KeyUsage, Totals};
use unsandbox_protocol::{
    CancelReason, CancelToken, Error, ErrorCode, EventSink, ExecutionResult, Job, NetworkMode,
    Owner,
};

pub struct EngineShared {
    pub options: EngineOptions,
    pub concurrency: usize,
    pub egress: Arc<Egress>,
    /// The process of the engine. In a forked copy of the host nothing here may be used.
    pub process: u32,
    /// What it measures of itself.
    pub measured: Measured,
    /// What the runs of each owner have used.
    pub totals: Totals,
    /// When it was made, in Unix seconds.
    pub since: i64,
    jobs: Mutex<Jobs>,
    /// Signalled when a job ends.
    ended: Condvar,
    pub link: JailerLink,
    pub epoll: Arc<OwnedFd>,
    wake: OwnedFd,
    pub stopping: AtomicBool,
    /// Whether the reactor sleeps without a time limit.
    pub asleep: AtomicBool,
}

pub fn closed() -> Error {
    Error::new(ErrorCode::Conflict, "the engine is closed")
}

impl EngineShared {
    pub fn new(options: EngineOptions) -> Result<EngineShared, Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = if options.concurrency == 0 { 2 * cores } else { options.concurrency };
        let egress = Arc::new(Egress::new(&options.egress)?);
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll"))?);
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags).map_err(system("eventfd"))?;
        let data = epoll::EventData::new_u64(token::WAKE);
        epoll::add(&epoll, &wake, data, epoll::EventFlags::IN).map_err(system("epoll"))?;
        let store = MemoryStore::new(options.retention, options.retention_max_bytes);
        Ok(EngineShared {
            concurrency,
            egress,
            process: std::process::id(),
            measured: Measured::default(),
            totals: Totals::default(),
            since: unix_seconds(),
            jobs: Mutex::new(Jobs::new(Box::new(store))),
            ended: Condvar::new(),
            link: JailerLink::new(options.isolation, epoll.clone()),
            options,
            epoll,
            wake,
            stopping: AtomicBool::new(false),
            asleep: AtomicBool::new(true),
        })
    }

    pub fn jobs(&self) -> MutexGuard<'_, Jobs> {
        lock(&self.jobs)
    }

    pub fn gauges_of(&self, owner: &Owner) -> OwnerGauges {
        let jobs = self.jobs();
        let mut gauges = OwnerGauges::default();
        gauges.running = jobs.running.of(owner) as u64;
        gauges.waiting = (jobs.queue.len_of(owner) + jobs.accepting.of(owner)) as u64;
        (gauges.kept_jobs, gauges.kept_bytes) = jobs.finished.kept_of(owner);
        gauges
    }

    /// The owner's usage. Requests are not counted here, and every language, limit and network mode may be asked for.
    pub fn usage(&self, owner: &Owner) -> KeyUsage {
        let quota = self.options.quotas.quota(owner);
        let limits = KeyAllowance {
            concurrency: quota.concurrency.unwrap_or(usize::MAX).min(self.concurrency) as u64,
            reserved: quota.reserved as u64,
            queue: (quota.queue.unwrap_or(self.options.queue_max) as u64).min(i64::MAX as u64),
            weight: quota.weight.into(),
            max_ttl: TTL_MAX_SECONDS,
            network_mode: NetworkMode::Semitrusted.as_str().to_string(),
            ..KeyAllowance::default()
        };
        let mut usage = KeyUsage { since: self.since, limits, ..self.totals.of(owner) };
        usage.set_now(&self.gauges_of(owner));
        usage
    }

    /// The running jailer; starts one if there is none.
    pub fn ensure_jailer(&self) -> Result<Arc<Jailer>, Error> {
        self.link.ensure(|| if self.jobs().closed { Err(closed()) } else { Ok(()) })
    }

    /// Launches queued jobs with a new jailer, after the one that they waited for has ended.
    pub fn resume(&self) {
        if self.jobs().queue.is_empty() {
            return;
        }
        let failed = match self.ensure_jailer() {
            Ok(_) => self.launch_waiting(&mut self.jobs()),
            Err(error) => {
                let mut queued = std::mem::take(&mut self.jobs().queue);
                let all = std::iter::from_fn(|| queued.pop());
                all.map(|(_, job_id)| (job_id, error.clone())).collect()
            }
        };
        self.end_failed(failed);
    }

    pub fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Wakes the reactor for a new run, which is necessary only if it sleeps without a time limit.
    pub fn wake_if_asleep(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub fn clear_wake(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
    }

    /// Queues a job after its sink got the acceptance, or ends it if it was cancelled meanwhile.
    pub fn queue(
        self: &Arc<Self>,
        job_id: &str,
        deadline: Option<(Instant, Duration)>,
        cancel: &CancelToken,
    ) {
        // First, so that a token which is cancelled already starts no program.
        self.cancel_on_token(job_id, cancel);
        let mut jobs = self.jobs();
        if let Some(reason) = jobs.accepted(job_id) {
            drop(jobs);
            return self.end(job_id, Ok(ExecutionResult::cancelled(reason)));
        }
        let Some(owner) = jobs.active(job_id).map(|record| record.owner.clone()) else { return };
        jobs.queue.push(&owner, job_id.to_string());
        jobs.set_deadline(job_id, deadline);
        // Checked before the launch: after it, a jailer that another call has started meanwhile would hide that this
        // job found none.
        let jailer_has_ended = self.link.get().is_none();
        let failed = self.launch_waiting(&mut jobs);
        drop(jobs);
        // The deadline first, because sinks and the start of a jailer may be slow.
        if deadline.is_some() {
            self.wake();
        }
        self.end_failed(failed);
        if jailer_has_ended {
            self.resume();
        }
    }

    /// Ends a job whose sink panicked in the event of its acceptance.
    pub fn end_unqueued(&self, job_id: &str) {
        self.jobs().accepted(job_id);
        let text =
            "the job was not run: its sink panicked when it was told that the job is accepted";
        self.end(job_id, Err(Error::internal(text)));
    }

    /// The job whose program has started so long ago, if it has not ended; measures once how long the start took.
    pub fn started(&self, job_id: &str, ago: Duration) -> Option<Job> {
        let mut jobs = self.jobs();
        let record = jobs.active(job_id)?;
        if let Some(launched) = record.launched.take() {
            self.measured.starts.add(launched.elapsed().saturating_sub(ago));
        }
        Some(record.job.clone())
    }

    pub fn wait_until_idle(&self, deadline: Instant) {
        let mut jobs = self.jobs();
        while !jobs.is_idle() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            jobs = self.ended.wait_timeout(jobs, rest).expect("no panic under this lock").0;
        }
    }

    /// Cancels the job when the token is cancelled, as long as both exist.
    pub fn cancel_on_token(self: &Arc<Self>, job_id: &str, token: &CancelToken) {
        let (shared, id): (Weak<EngineShared>, _) = (Arc::downgrade(self), job_id.to_string());
        let registration = token.on_cancel_for(move |reason| {
            if let Some(shared) = shared.upgrade() {
                shared.cancel_by_id(&id, reason);
            }
        });
        // If the job has ended meanwhile, the registration is dropped, without the lock.
        let mut unused = Some(registration);
        if let Some(record) = self.jobs().active(job_id) {
            record.cancel_registration = unused.take();
        }
    }

    /// Removes watchers of a job that are no longer wanted, so that repeated calls do not accumulate. Watchers are
    /// asked and dropped without the lock.
    pub fn drop_unwanted(&self, job_id: &str, mut watchers: Vec<Arc<dyn EventSink>>) {
        watchers.retain(|watcher| !tell::is_wanted(&**watcher));
        if watchers.is_empty() {
            return;
        }
        let unwanted = |sink: &Arc<dyn EventSink>| watchers.iter().any(|it| Arc::ptr_eq(it, sink));
        if let Some(record) = self.jobs().active(job_id) {
            record.watchers.retain(|it| !unwanted(it));
            record.followers.retain(|it| !unwanted(&it.sink));
        }
    }

    /// Adds a follower to a job; one of a job that has ended gets everything at once. Its sink has the acceptance.
    pub fn follow(&self, job_id: &str, owner: &Owner, follower: Follower) -> Result<(), Error> {
        let (run, others) = {
            let mut jobs = self.jobs();
            let Some(record) = jobs.active_of(owner, job_id) else {
                let job = jobs.job(owner, job_id)?;
                drop(jobs);
                follower.end(&job, Ok(job.clone()));
                return Ok(());
            };
            let mut others = record.watchers.clone();
            others.extend(record.followers.iter().map(|other| other.sink.clone()));
            let run = record.run;
            record.followers.push(follower);
            jobs.followed.extend(run.map(|run| (run, job_id.to_string())));
            (run, others)
        };
        if run.is_some() {
            self.wake();
        }
        self.drop_unwanted(job_id, others);
        Ok(())
    }

    pub fn cancel_by_id(&self, job_id: &str, reason: CancelReason) {
        let mut jobs = self.jobs();
        if jobs.cancel_when_accepted(job_id, reason) {
            return;
        }
        let Some(record) = jobs.active(job_id) else { return };
        if let Some(handle) = &record.handle {
            handle.cancel(reason);
            drop(jobs);
            self.wake();
        } else if record.waiting.take().is_some() {
            let owner = record.owner.clone();
            jobs.queue.retain(&owner, |queued| queued != job_id);
            drop(jobs);
            self.end(job_id, Ok(ExecutionResult::cancelled(reason)));
        }
    }

    /// Ends calls that are past their deadline: their sinks get the error at once, and their runs are cancelled.
    pub fn end_overdue(&self, now: Instant) {
        loop {
            let mut jobs = self.jobs();
            let Some((job_id, limit)) = jobs.pop_overdue(now) else { return };
            let Some(record) = jobs.active(&job_id) else { continue };
            let sink: Arc<dyn EventSink> = std::mem::replace(&mut record.sink, Arc::new(NoSink));
            if let Some(handle) = &record.handle {
                handle.leave();
            }
            drop(jobs);
            tell::end(&*sink, Err(past_deadline(limit).with_may_have_run(true)));
            self.cancel_by_id(&job_id, CancelReason::Caller);
        }
    }

    pub fn end_failed(&self, failed: Vec<(String, Error)>) {
        for (job_id, error) in failed {
            self.end(&job_id, Err(error));
        }
    }

    /// Ends all remaining jobs as cancelled, without waiting for them.
    pub fn abandon(&self) {
        let unfinished = self.jobs().unfinished();
        for job_id in unfinished {
            if !self.jobs().cancel_when_accepted(&job_id, CancelReason::Stop) {
                self.end(&job_id, Ok(ExecutionResult::cancelled(CancelReason::Stop)));
            }
        }
    }

    /// Ends a job that was launched, and launches queued ones in its place.
    pub fn end_run(&self, job_id: &str, owner: &Owner, result: Result<ExecutionResult, Error>) {
        let failed = {
            let mut jobs = self.jobs();
            jobs.running.remove(owner);
            self.launch_waiting(&mut jobs)
        };
        self.end(job_id, result);
        self.end_failed(failed);
    }

    /// Completes a job and reports its end to its sink and watchers. Does nothing if it has ended meanwhile, abandoned
    /// or cancelled in the queue.
    fn end(&self, job_id: &str, result: Result<ExecutionResult, Error>) {
        let mut jobs = self.jobs();
        let Some(mut record) = jobs.remove(job_id) else { return };
        let (result, error) = match result {
            Ok(result) => (result, None),
            Err(error) => (ExecutionResult::failed(&error), Some(error)),
        };
        let job = record.complete(result, self.link.isolation());
        if !record.kept_elsewhere && (record.listed || self.options.keep_unlisted) {
            jobs.store_finished(job.clone(), &record);
        }
        if !record.asks_version {
            self.totals.add(&record.owner, &job.status, job.result.as_deref());
        }
        drop(jobs);
        tell::log(&job);
        self.ended.notify_all();
        let Record { watchers, followers, sink, cancel_registration, context_link, .. } = record;
        drop((cancel_registration, context_link));
        let end = error.map_or(Ok(job.clone()), Err);
        for follower in followers {
            follower.end(&job, end.clone());
        }
        for watcher in watchers {
            tell::end(&*watcher, end.clone());
        }
        tell::end(&*sink, end);
    }
}
