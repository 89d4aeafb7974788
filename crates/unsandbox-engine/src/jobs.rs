// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of jobs: who owns which, which wait for their turn, which are kept after their end.

use crate::plan::Prepared;
use crate::run::Handle;
use crate::start::Jailer;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::{Error, ErrorCode, EventSink, ExecutionResult, Job, Owner};

/// A job from its submission to its removal.
pub struct Record {
    /// Shared with whoever is reading it, so that a large result is never copied under the lock.
    pub job: Arc<Job>,
    pub owner: Owner,
    pub listed: bool,
    pub submitted: Instant,
    pub sink: Arc<dyn EventSink>,
    /// Others who want to hear of its end.
    pub watchers: Vec<Arc<dyn EventSink>>,
    /// While it is queued: what it needs to be launched.
    pub waiting: Option<Waiting>,
    /// While it runs.
    pub handle: Option<Arc<Handle>>,
    /// Set where it ended without a result.
    pub error: Option<Error>,
    pub guard: Option<CancelGuard>,
}

pub struct Waiting {
    pub prepared: Prepared,
    pub stdin: OwnedFd,
}

#[derive(Default)]
pub struct Table {
    records: HashMap<String, Record>,
    pub queue: VecDeque<String>,
    pub running: usize,
    pub next_run: u64,
    pub jailer: Option<Arc<Jailer>>,
    pub closed: bool,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

/// A finished job, in the order of ends.
struct Kept {
    since: Instant,
    job_id: String,
    bytes: usize,
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
    Ok(format!("job_{:032x}", u128::from_be_bytes(bytes)))
}

fn unknown(job_id: &str) -> Error {
    let shown: String = job_id.chars().take(80).collect();
    Error::new(
        ErrorCode::NotFound,
        format!(
            "job {shown:?} is not known to this key; jobs are kept for ten minutes after their end"
        ),
    )
}

impl Table {
    pub fn insert(&mut self, record: Record) {
        self.records.insert(record.job.job_id.clone(), record);
    }

    /// The record if it is this owner's.
    pub fn get(&mut self, owner: &Owner, job_id: &str) -> Result<&mut Record, Error> {
        let record = self.records.get_mut(job_id).filter(|record| record.owner == *owner);
        record.ok_or_else(|| unknown(job_id))
    }

    /// The record whoever owns it.
    pub fn any(&mut self, job_id: &str) -> Option<&mut Record> {
        self.records.get_mut(job_id)
    }

    pub fn remove(&mut self, job_id: &str) -> Option<Record> {
        self.records.remove(job_id)
    }

    /// Pending and running jobs of an owner, oldest first.
    pub fn active(&self, owner: &Owner) -> Vec<Job> {
        let mut active: Vec<(&Instant, &Arc<Job>)> = self
            .records
            .values()
            .filter(|r| r.listed && r.owner == *owner && !r.job.status.is_terminal())
            .map(|record| (&record.submitted, &record.job))
            .collect();
        active.sort_by_key(|(submitted, _)| **submitted);
        active.into_iter().map(|(_, job)| Job::clone(job)).collect()
    }

    pub fn unfinished(&self) -> Vec<String> {
        let unfinished = self.records.values().filter(|record| !record.job.status.is_terminal());
        unfinished.map(|record| record.job.job_id.clone()).collect()
    }

    /// Notes that a job has ended and is kept, and lets the oldest go.
    pub fn keep(&mut self, job_id: &str, bytes: usize, retention: Duration, max_bytes: usize) {
        let since = Instant::now();
        self.kept.push_back(Kept { since, job_id: job_id.to_string(), bytes });
        self.kept_bytes += bytes;
        self.forget_old(retention, max_bytes);
    }

    pub fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    pub fn forget_old(&mut self, retention: Duration, max_bytes: usize) {
        while let Some(oldest) = self.kept.front() {
            if oldest.since.elapsed() < retention && self.kept_bytes <= max_bytes {
                break;
            }
            self.kept_bytes -= oldest.bytes;
            self.records.remove(&oldest.job_id);
            self.kept.pop_front();
        }
    }
}

/// Bytes that keeping a result costs.
pub fn size_of(result: Option<&ExecutionResult>) -> usize {
    const OVERHEAD: usize = 1024;
    OVERHEAD
        + result.map_or(0, |result| {
            let artifacts: usize = result.artifacts.iter().map(|a| a.content.len()).sum();
            result.stdout.len() + result.stderr.len() + artifacts
        })
}
