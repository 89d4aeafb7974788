// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jobs of an engine: queued, running, and, in a [`JobStore`], finished ones. One lock protects them all; it is
//! never held while a sink is called.

pub mod counts;
pub mod ending;
pub mod follower;
pub mod offline;
pub mod outcome;
pub mod store;
pub mod tell;

use crate::jailer::handle::Handle;
use crate::jailer::run::Run;
use crate::jobs::counts::Counts;
use crate::jobs::follower::Follower;
use crate::jobs::store::{Finished, JobStore};
use crate::programs::plan::Prepared;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unsandbox_protocol::backend::not_ended;
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::limits::{RETENTION, RETENTION_MAX_BYTES};
use unsandbox_protocol::page::{JobPage, Page, unknown_after};
use unsandbox_protocol::turns::Turns;
use unsandbox_protocol::{
    CancelReason, Error, ErrorCode, EventSink, ExecutionResult, Isolation, Job, Owner, Status,
};

/// How a run was started, for its result.
const COLD: &str = "cold";

/// A job that has not ended.
pub struct Record {
    pub job: Job,
    pub owner: Owner,
    pub listed: bool,
    /// The submitter keeps the job itself.
    pub kept_elsewhere: bool,
    /// The engine asks a runtime for its version: it is nobody's run.
    pub asks_version: bool,
    /// Path of the main program of its runtime.
    pub runtime: Option<String>,
    pub submitted: Instant,
    /// When it was handed to the jailer, of a run without a compile step whose program has not started.
    pub launched: Option<Instant>,
    pub sink: Arc<dyn EventSink>,
    /// Further sinks that get its end.
    pub watchers: Vec<Arc<dyn EventSink>>,
    /// Sinks that follow its output, until the reactor has them.
    pub followers: Vec<Follower>,
    /// Set while it is queued: the parts of its launch.
    pub waiting: Option<Waiting>,
    /// Set while it runs.
    pub handle: Option<Arc<Handle>>,
    /// The id of its run in the reactor, once it was launched.
    pub run: Option<u64>,
    pub cancel_registration: Option<CancelGuard>,
    /// Between the token of its context and its own.
    pub context_link: Option<CancelGuard>,
    /// Whether its sink got the acceptance. Before that the job is not ended, so that the end is never reported first.
    pub is_accepted: bool,
    /// The reason of a cancel that came before the acceptance.
    pub cancelled: Option<CancelReason>,
    /// The deadline of the call that submitted it, and the time that the call allowed.
    pub deadline: Option<(Instant, Duration)>,
}

impl Record {
    /// A job that is being accepted.
    pub fn new(job: Job, owner: Owner, sink: Arc<dyn EventSink>, waiting: Waiting) -> Record {
        let runtime = waiting.prepared.main_program();
        Record {
            job,
            owner,
            listed: false,
            kept_elsewhere: false,
            asks_version: false,
            runtime,
            submitted: Instant::now(),
            launched: None,
            sink,
            watchers: Vec::new(),
            followers: Vec::new(),
            waiting: Some(waiting),
            handle: None,
            run: None,
            cancel_registration: None,
            context_link: None,
            is_accepted: false,
            cancelled: None,
            deadline: None,
        }
    }

    /// Its run has been handed to the jailer.
    pub fn launch(&mut self, handle: Arc<Handle>, run: u64) {
        (self.handle, self.run) = (Some(handle), Some(run));
        self.job.status = Status::Running;
        self.job.started_at = Some(unix_seconds());
    }

    /// Sets the fields that every result has; returns the finished job.
    pub fn complete(&mut self, mut result: ExecutionResult, isolation: Option<Isolation>) -> Job {
        let job = &mut self.job;
        result.language = job.language.clone();
        result.detected_language = job.detected_language.clone();
        result.job_id = Some(job.job_id.clone());
        result.network_mode = job.network_mode.clone();
        result.execution_mode = Some(COLD.to_string());
        result.runtime = self.runtime.take();
        result.total_time_ms = Some(self.submitted.elapsed().as_millis() as u64);
        result.isolation = isolation;
        job.completed_at = Some(unix_seconds());
        job.status = result.status.clone();
        job.result = Some(Arc::new(result));
        job.clone()
    }
}

pub struct Waiting {
    pub prepared: Prepared,
    pub stdin: OwnedFd,
    /// Whether it was prepared for a jail with namespaces.
    pub full_level: bool,
}

pub struct Jobs {
    active: HashMap<String, Record>,
    /// The ids of those that wait, by turns between their owners.
    pub queue: Turns<Owner, String>,
    pub running: Counts,
    /// Submissions that are being accepted; each counts against the queue already.
    pub accepting: Counts,
    pub next_run: u64,
    /// Launched runs that the reactor has not taken yet. Under the same lock as the launch, because the jailer may
    /// answer before the launch is complete.
    pub launched: Vec<(u64, Run)>,
    /// Runs that have got followers, with their jobs, for the reactor.
    pub followed: Vec<(u64, String)>,
    /// Whether further submissions are refused.
    pub closed: bool,
    deadlines: BTreeSet<(Instant, String)>,
    pub finished: Box<dyn JobStore>,
}

pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// `job_` and 128 random bits.
pub fn new_id() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no random bits for a job id: {error}")))?;
    Ok(Job::id_of(bytes))
}

pub fn unknown(job_id: &str) -> Error {
    let shown: String = job_id.chars().take(80).collect();
    Error::new(
        ErrorCode::NotFound,
        format!(
            "there is no job {shown:?} for this key; a finished job is removed after its retention time ({} s by \
             default), or earlier when the results of the key exceed their limit ({} MB by default)",
            RETENTION.as_secs(),
            RETENTION_MAX_BYTES >> 20
        ),
    )
}

impl Jobs {
    pub fn new(finished: Box<dyn JobStore>) -> Jobs {
        Jobs {
            active: HashMap::new(),
            queue: Turns::default(),
            running: Counts::default(),
            accepting: Counts::default(),
            next_run: 0,
            launched: Vec::new(),
            followed: Vec::new(),
            closed: false,
            deadlines: BTreeSet::new(),
            finished,
        }
    }

    pub fn insert(&mut self, record: Record) {
        self.active.insert(record.job.job_id.clone(), record);
    }

    pub fn set_deadline(&mut self, job_id: &str, deadline: Option<(Instant, Duration)>) {
        let Some(record) = self.active.get_mut(job_id) else { return };
        record.deadline = deadline;
        if let Some((when, _)) = deadline {
            self.deadlines.insert((when, job_id.to_string()));
        }
    }

    /// The job, whether it has ended or not, if it is this owner's.
    pub fn job(&self, owner: &Owner, job_id: &str) -> Result<Job, Error> {
        match self.active.get(job_id) {
            Some(record) if record.owner == *owner => Ok(record.job.clone()),
            _ => self.finished.get(owner, job_id).cloned().ok_or_else(|| unknown(job_id)),
        }
    }

    /// Removes a job that has ended, if it is this owner's.
    pub fn delete(&mut self, owner: &Owner, job_id: &str) -> Result<(), Error> {
        if let Some(record) = self.active_of(owner, job_id) {
            return Err(not_ended(&record.job));
        }
        match self.finished.remove(owner, job_id) {
            true => Ok(()),
            false => Err(unknown(job_id)),
        }
    }

    /// The record of a job that has not ended, of any owner.
    pub fn active(&mut self, job_id: &str) -> Option<&mut Record> {
        self.active.get_mut(job_id)
    }

    /// Records that the sink got the acceptance. Returns the reason of a cancel that came before.
    pub fn accepted(&mut self, job_id: &str) -> Option<CancelReason> {
        let record = self.active.get_mut(job_id)?;
        self.accepting.remove(&record.owner);
        record.is_accepted = true;
        record.cancelled
    }

    /// Cancels a job that is being accepted, to end right after its acceptance; false for any other job.
    pub fn cancel_when_accepted(&mut self, job_id: &str, reason: CancelReason) -> bool {
        match self.active.get_mut(job_id) {
            Some(record) if !record.is_accepted => {
                record.cancelled.get_or_insert(reason);
                true
            }
            _ => false,
        }
    }

    /// The record of a job of this owner that has not ended.
    pub fn active_of(&mut self, owner: &Owner, job_id: &str) -> Option<&mut Record> {
        self.active.get_mut(job_id).filter(|record| record.owner == *owner)
    }

    /// Takes the new followers of a job that runs; their sinks get its end as watchers.
    pub fn take_followers(&mut self, job_id: &str) -> Option<(Job, Vec<Follower>)> {
        let record = self.active.get_mut(job_id)?;
        let followers = std::mem::take(&mut record.followers);
        record.watchers.extend(followers.iter().map(|follower| follower.sink.clone()));
        Some((record.job.clone(), followers))
    }

    /// Removes a job that ends.
    pub fn remove(&mut self, job_id: &str) -> Option<Record> {
        let record = self.active.remove(job_id)?;
        self.remove_deadline(record.deadline, job_id);
        Some(record)
    }

    fn remove_deadline(&mut self, deadline: Option<(Instant, Duration)>, job_id: &str) {
        if let Some((when, _)) = deadline {
            self.deadlines.remove(&(when, job_id.to_string()));
        }
    }

    /// A page of the pending and running jobs of an owner, oldest first.
    pub fn list(&self, owner: &Owner, page: &Page) -> Result<JobPage, Error> {
        let after = match page.after.as_deref() {
            Some(after) => {
                let submitted = self.submitted(owner, after).ok_or_else(|| unknown_after(after))?;
                Some((submitted, after))
            }
            None => None,
        };
        let listed = self.active.values().filter(|it| it.listed && it.owner == *owner);
        // By their ids, too: times may be equal, and each page has to have the same order.
        let mut listed: Vec<((Instant, &str), &Job)> = listed
            .map(|record| ((record.submitted, record.job.job_id.as_str()), &record.job))
            .filter(|(place, _)| after.is_none_or(|after| *place > after))
            .collect();
        listed.sort_unstable_by_key(|(place, _)| *place);
        let one_more = page.limit.map_or(listed.len(), |limit| limit + 1);
        let jobs = listed.into_iter().take(one_more).map(|(_, job)| job.clone()).collect();
        Ok(page.of(jobs))
    }

    fn submitted(&self, owner: &Owner, job_id: &str) -> Option<Instant> {
        match self.active.get(job_id) {
            Some(record) => (record.owner == *owner).then_some(record.submitted),
            None => self.finished.submitted(owner, job_id),
        }
    }

    pub fn unfinished(&self) -> Vec<String> {
        self.active.keys().cloned().collect()
    }

    pub fn is_idle(&self) -> bool {
        self.running.all() == 0 && self.queue.is_empty() && self.accepting.all() == 0
    }

    /// Whether nothing here needs the reactor's clock.
    pub fn is_quiet(&self) -> bool {
        self.launched.is_empty() && self.finished.is_empty() && self.deadlines.is_empty()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(when, _)| *when)
    }

    /// The next job whose call is past its deadline; each job is returned once.
    pub fn pop_overdue(&mut self, now: Instant) -> Option<(String, Duration)> {
        self.deadlines.first().filter(|(when, _)| *when <= now)?;
        let (_, job_id) = self.deadlines.pop_first()?;
        let (_, limit) = self.active(&job_id)?.deadline.take()?;
        Some((job_id, limit))
    }

    pub fn store_finished(&mut self, job: Job, record: &Record) {
        let (owner, submitted) = (record.owner.clone(), record.submitted);
        self.finished.insert(Finished { job, owner, submitted, listed: record.listed });
    }
}
