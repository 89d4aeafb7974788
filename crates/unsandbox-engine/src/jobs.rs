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
    pub job: Job,
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
    kept: HashMap<Owner, Shelf>,
    kept_bytes: usize,
}

/// The finished jobs of one owner.
#[derive(Default)]
struct Shelf {
    /// Those that were not listed, whose callers have had their results as a rule; the listed ones. Each in
    /// the order of their ends.
    rows: [VecDeque<Kept>; 2],
    bytes: usize,
}

impl Shelf {
    fn pop(&mut self, row: usize) -> Option<Kept> {
        let kept = self.rows[row].pop_front()?;
        self.bytes -= kept.bytes;
        Some(kept)
    }

    /// What is given up first.
    fn pop_first(&mut self) -> Option<Kept> {
        self.pop(0).or_else(|| self.pop(1))
    }

    fn pop_expired(&mut self, retention: Duration) -> Option<Kept> {
        let expired = |kept: &Kept| kept.since.elapsed() >= retention;
        let row = self.rows.iter().position(|row| row.front().is_some_and(expired))?;
        self.pop(row)
    }
}

/// A finished job.
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
            "job {shown:?} is not known to this key; a finished job is kept for ten minutes at most, and goes \
             earlier when its key's results fill the room for them"
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
        let mut active: Vec<(&Instant, &Job)> = self
            .records
            .values()
            .filter(|r| r.listed && r.owner == *owner && !r.job.status.is_terminal())
            .map(|record| (&record.submitted, &record.job))
            .collect();
        active.sort_by_key(|(submitted, _)| **submitted);
        active.into_iter().map(|(_, job)| job.clone()).collect()
    }

    pub fn unfinished(&self) -> Vec<String> {
        let unfinished = self.records.values().filter(|record| !record.job.status.is_terminal());
        unfinished.map(|record| record.job.job_id.clone()).collect()
    }

    /// Notes that a job has ended and is kept, and lets others go that are too old or too many.
    pub fn keep(&mut self, job_id: &str, retention: Duration, max_bytes: usize) {
        let Some(record) = self.records.get(job_id) else { return };
        let bytes = size_of(record.job.result.as_deref());
        let shelf = self.kept.entry(record.owner.clone()).or_default();
        let kept = Kept { since: Instant::now(), job_id: job_id.to_string(), bytes };
        shelf.rows[usize::from(record.listed)].push_back(kept);
        shelf.bytes += bytes;
        self.kept_bytes += bytes;
        self.forget_old(retention, max_bytes);
    }

    pub fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Of too many bytes those go first that belong to whoever has the most: nobody's results push out
    /// those of another who has less.
    pub fn forget_old(&mut self, retention: Duration, max_bytes: usize) {
        let mut gone = Vec::new();
        for shelf in self.kept.values_mut() {
            gone.extend(std::iter::from_fn(|| shelf.pop_expired(retention)));
        }
        let mut left = self.kept_bytes - gone.iter().map(|kept| kept.bytes).sum::<usize>();
        while left > max_bytes
            && let Some(fullest) = self.kept.values_mut().max_by_key(|shelf| shelf.bytes)
            && let Some(kept) = fullest.pop_first()
        {
            left -= kept.bytes;
            gone.push(kept);
        }
        self.kept_bytes = left;
        self.kept.retain(|_, shelf| shelf.bytes > 0);
        for kept in gone {
            self.records.remove(&kept.job_id);
        }
    }
}

/// Bytes that keeping a result costs.
fn size_of(result: Option<&ExecutionResult>) -> usize {
    const OVERHEAD: usize = 1024;
    OVERHEAD
        + result.map_or(0, |result| {
            let artifacts: usize = result.artifacts.iter().map(|a| a.content.len()).sum();
            result.stdout.len() + result.stderr.len() + artifacts
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::Status;
    use unsandbox_protocol::backend::NoSink;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A table that has room for so many results of 10,000 bytes; each is kept as it is added.
    struct Room(Table, usize);

    impl Room {
        fn of(count: usize) -> Room {
            Room(Table::default(), count * (10_000 + 1024))
        }

        fn add(&mut self, owner: &str, job_id: &str, listed: bool) {
            let mut job = Job::new(job_id, Status::Completed);
            let mut result = ExecutionResult::new(Status::Completed);
            result.stdout = vec![0; 10_000];
            job.result = Some(Arc::new(result));
            self.0.insert(Record {
                job,
                owner: Owner(owner.to_string()),
                listed,
                submitted: Instant::now(),
                sink: Arc::new(NoSink),
                watchers: Vec::new(),
                waiting: None,
                handle: None,
                error: None,
                guard: None,
            });
            self.0.keep(job_id, DAY, self.1);
        }

        fn kept(&self) -> String {
            let mut ids: Vec<&str> = self.0.records.keys().map(String::as_str).collect();
            ids.sort_unstable();
            ids.join(" ")
        }
    }

    #[test]
    fn nobody_pushes_out_the_results_of_who_has_less() {
        let mut room = Room::of(4);
        room.add("a", "a1", true);
        for id in ["b1", "b2", "b3", "b4", "b5"] {
            room.add("b", id, false);
        }
        assert_eq!(room.kept(), "a1 b3 b4 b5");
        let error = room.0.get(&Owner("b".to_string()), "b1").err().unwrap();
        assert!(error.message().contains("at most"), "{error}");
    }

    #[test]
    fn what_nobody_listed_goes_first() {
        let mut room = Room::of(3);
        room.add("a", "listed", true);
        for id in ["run1", "run2", "run3"] {
            room.add("a", id, false);
        }
        assert_eq!(room.kept(), "listed run2 run3");
        for id in ["listed2", "listed3", "listed4"] {
            room.add("a", id, true);
        }
        assert_eq!(room.kept(), "listed2 listed3 listed4");
    }

    #[test]
    fn what_is_old_goes_whoever_has_it() {
        let mut room = Room::of(9);
        room.add("a", "a1", true);
        room.add("b", "b1", false);
        room.0.forget_old(DAY, usize::MAX);
        assert!(room.0.keeps_any() && room.kept() == "a1 b1");
        room.0.forget_old(Duration::ZERO, usize::MAX);
        assert!(!room.0.keeps_any() && room.kept().is_empty());
        assert_eq!(room.0.kept_bytes, 0);
    }
}
