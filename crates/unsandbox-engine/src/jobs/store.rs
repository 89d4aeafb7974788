// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store of the finished jobs of one engine, in memory. A durable store is a backend around the engine.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};
use unsandbox_protocol::{ExecutionResult, Job, Owner};

/// A job that has ended, with its result.
#[derive(Clone, Debug)]
pub struct Finished {
    pub job: Job,
    pub owner: Owner,
    /// Its place in the order of the submissions.
    pub submitted: Instant,
    /// Whether it was an asynchronous job. The callers of the others usually have the result already.
    pub listed: bool,
}

/// A store of finished jobs. It is called under the lock of the jobs, so it must not block.
pub trait JobStore: Send + fmt::Debug {
    fn insert(&mut self, finished: Finished);

    /// The job, if it belongs to this owner.
    fn get(&self, owner: &Owner, job_id: &str) -> Option<&Job>;

    /// The jobs of an owner, and the bytes of their results.
    fn kept_of(&self, owner: &Owner) -> (u64, u64);

    /// When the job was submitted, if it belongs to this owner.
    fn submitted(&self, owner: &Owner, job_id: &str) -> Option<Instant>;

    /// Removes a job; false if this owner has none with this id.
    fn remove(&mut self, owner: &Owner, job_id: &str) -> bool;

    /// Removes jobs that are past their retention or over the limit on bytes.
    fn expire(&mut self);

    fn is_empty(&self) -> bool;
}

/// A store in memory, with limits on time and bytes.
#[derive(Debug)]
pub struct MemoryStore {
    retention: Duration,
    max_bytes: usize,
    jobs: HashMap<String, Finished>,
    owners: HashMap<Owner, OwnerJobs>,
    bytes: usize,
}

/// The finished jobs of one owner, first to last, by whether they are listed.
#[derive(Default, Debug)]
struct OwnerJobs {
    unlisted: VecDeque<Entry>,
    listed: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    job_id: String,
    bytes: usize,
}

impl OwnerJobs {
    fn queues(&mut self) -> [&mut VecDeque<Entry>; 2] {
        [&mut self.unlisted, &mut self.listed]
    }

    /// Removes the first entry if `wanted` accepts it; unlisted entries before listed ones.
    fn pop(&mut self, wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let entry = self
            .queues()
            .into_iter()
            .find(|queue| queue.front().is_some_and(&wanted))
            .and_then(VecDeque::pop_front)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    /// Removes the entry of a job, and returns its bytes.
    fn remove(&mut self, job_id: &str) -> usize {
        let mut bytes = 0;
        for queue in self.queues() {
            if let Some(at) = queue.iter().position(|entry| entry.job_id == job_id) {
                bytes += queue.remove(at).map_or(0, |entry| entry.bytes);
            }
        }
        self.bytes -= bytes;
        bytes
    }
}

impl MemoryStore {
    pub fn new(retention: Duration, max_bytes: usize) -> MemoryStore {
        MemoryStore { retention, max_bytes, jobs: HashMap::new(), owners: HashMap::new(), bytes: 0 }
    }
}

impl JobStore for MemoryStore {
    fn insert(&mut self, finished: Finished) {
        let bytes = size_of(finished.job.result.as_deref());
        let job_id = finished.job.job_id.clone();
        let owner_jobs = self.owners.entry(finished.owner.clone()).or_default();
        let queue = if finished.listed { &mut owner_jobs.listed } else { &mut owner_jobs.unlisted };
        queue.push_back(Entry { since: Instant::now(), job_id: job_id.clone(), bytes });
        owner_jobs.bytes += bytes;
        self.bytes += bytes;
        self.jobs.insert(job_id, finished);
        self.expire();
    }

    fn get(&self, owner: &Owner, job_id: &str) -> Option<&Job> {
        self.jobs.get(job_id).filter(|finished| finished.owner == *owner).map(|it| &it.job)
    }

    fn kept_of(&self, owner: &Owner) -> (u64, u64) {
        let jobs = self.owners.get(owner);
        let count = |jobs: &OwnerJobs| (jobs.listed.len() + jobs.unlisted.len()) as u64;
        jobs.map_or((0, 0), |jobs| (count(jobs), jobs.bytes as u64))
    }

    fn submitted(&self, owner: &Owner, job_id: &str) -> Option<Instant> {
        self.jobs.get(job_id).filter(|finished| finished.owner == *owner).map(|it| it.submitted)
    }

    fn remove(&mut self, owner: &Owner, job_id: &str) -> bool {
        if self.get(owner, job_id).is_none() {
            return false;
        }
        self.jobs.remove(job_id);
        let Some(owner_jobs) = self.owners.get_mut(owner) else { return true };
        self.bytes -= owner_jobs.remove(job_id);
        if owner_jobs.bytes == 0 {
            self.owners.remove(owner);
        }
        true
    }

    /// Over the limit on bytes, the first result of the owner with the most bytes is removed, so that no owner
    /// displaces the results of one with fewer.
    fn expire(&mut self) {
        let mut removed = Vec::new();
        let is_old = |entry: &Entry| entry.since.elapsed() >= self.retention;
        for owner_jobs in self.owners.values_mut() {
            removed.extend(std::iter::from_fn(|| owner_jobs.pop(is_old)));
        }
        self.bytes -= removed.iter().map(|entry| entry.bytes).sum::<usize>();
        while self.bytes > self.max_bytes
            && let Some(largest) =
                self.owners.values_mut().max_by_key(|owner_jobs| owner_jobs.bytes)
            && let Some(entry) = largest.pop(|_| true)
        {
            self.bytes -= entry.bytes;
            removed.push(entry);
        }
        self.owners.retain(|_, owner_jobs| owner_jobs.bytes > 0);
        for entry in removed {
            self.jobs.remove(&entry.job_id);
        }
    }

    fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// The bytes that a result counts for.
fn size_of(result: Option<&ExecutionResult>) -> usize {
    const OVERHEAD: usize = 1024;
    OVERHEAD
        + result.map_or(0, |result| {
            let artifacts = result.artifacts.iter().map(|a| a.content.len() + a.filename.len());
            let texts = result.error.iter().chain(&result.left_files).map(String::len);
            result.stdout.len() + result.stderr.len() + artifacts.chain(texts).sum::<usize>()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use unsandbox_protocol::Status;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A store for `count` results of 10,000 bytes.
    fn store(count: usize) -> MemoryStore {
        MemoryStore::new(DAY, count * (10_000 + 1024))
    }

    fn add(store: &mut MemoryStore, owner: &str, job_id: &str, listed: bool) {
        let mut job = Job::new(job_id, Status::Completed);
        let mut result = ExecutionResult::new(Status::Completed);
        result.stdout = vec![0; 10_000];
        job.result = Some(Arc::new(result));
        let (owner, submitted) = (Owner(owner.to_string()), Instant::now());
        store.insert(Finished { job, owner, submitted, listed });
    }

    #[test]
    fn names_of_files_count_as_well() {
        let mut result = ExecutionResult::new(Status::Completed);
        let empty = size_of(Some(&result));
        result.left_files = vec!["left".repeat(100)];
        result.error = Some("error".repeat(100));
        let artifact = unsandbox_protocol::Artifact {
            filename: "name".repeat(100),
            kind: "file".to_string(),
            content: Vec::new(),
            url: None,
        };
        result.artifacts = vec![artifact; 3];
        assert_eq!(size_of(Some(&result)), empty + 400 + 500 + 3 * 400);
    }

    fn ids(store: &MemoryStore) -> String {
        let mut ids: Vec<&str> = store.jobs.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids.join(" ")
    }

    #[test]
    fn an_owner_with_many_results_displaces_only_its_own() {
        let mut store = store(4);
        add(&mut store, "a", "a1", true);
        for id in ["b1", "b2", "b3", "b4", "b5"] {
            add(&mut store, "b", id, false);
        }
        assert_eq!(ids(&store), "a1 b3 b4 b5");
        assert!(store.get(&Owner("b".to_string()), "b1").is_none());
        assert!(store.get(&Owner("a".to_string()), "b3").is_none(), "it is another owner's");
        assert!(store.get(&Owner("b".to_string()), "b3").is_some());
    }

    #[test]
    fn a_removed_job_gives_its_bytes_back_and_is_removed_only_by_its_owner() {
        let (mut store, a, b) = (store(9), Owner("a".to_string()), Owner("b".to_string()));
        for (owner, id, listed) in [("a", "a1", true), ("a", "a2", false), ("b", "b1", true)] {
            add(&mut store, owner, id, listed);
        }
        let bytes = store.bytes;
        assert!(!store.remove(&b, "a1") && !store.remove(&a, "a3"));
        assert!(store.remove(&a, "a1") && !store.remove(&a, "a1"));
        assert_eq!((ids(&store).as_str(), store.bytes), ("a2 b1", bytes / 3 * 2));
        assert!(store.remove(&a, "a2") && store.remove(&b, "b1"));
        assert!(store.is_empty() && store.bytes == 0 && store.owners.is_empty());
    }

    #[test]
    fn unlisted_jobs_are_removed_first() {
        let mut store = store(3);
        add(&mut store, "a", "listed", true);
        for id in ["run1", "run2", "run3"] {
            add(&mut store, "a", id, false);
        }
        assert_eq!(ids(&store), "listed run2 run3");
        for id in ["listed2", "listed3", "listed4"] {
            add(&mut store, "a", id, true);
        }
        assert_eq!(ids(&store), "listed2 listed3 listed4");
    }

    #[test]
    fn jobs_past_their_retention_are_removed_for_every_owner() {
        let mut store = store(9);
        add(&mut store, "a", "a1", true);
        add(&mut store, "b", "b1", false);
        store.expire();
        assert_eq!(ids(&store), "a1 b1");
        store.retention = Duration::ZERO;
        store.expire();
        assert!(store.is_empty() && store.bytes == 0 && store.owners.is_empty());
    }
}
