// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a key may have of an endpoint, what it has now, and what it has used.

use crate::events::Owner;
use crate::gauges::OwnerGauges;
use crate::limits::Limits;
use crate::result::{ExecutionResult, RawJson, Status};
use crate::sync::lock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// What a key may have. `None` is without a limit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyAllowance {
    /// Programs at once.
    pub concurrency: u64,
    /// Of those, places that no other key gets.
    pub reserved: u64,
    /// Submissions that may wait for their turn.
    pub queue: u64,
    /// Submissions that start in one turn of the key.
    pub weight: u64,
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Requests that may come at once.
    pub burst: Option<u64>,
    /// The largest ttl in seconds.
    pub max_ttl: i64,
    /// The largest limits of a run. `None` is the largest value of the table of limits.
    pub max_limits: Limits,
    /// `zerotrust`, or `semitrusted` for both.
    pub network_mode: String,
    /// The languages that it may use; `None` for all.
    pub languages: Option<Vec<String>>,
}

/// What `usage` gives: of one key at a server, of this client's engine at `local:`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyUsage {
    /// The short name of the key, as in the server's log; `None` without keys.
    pub key: Option<String>,
    /// Programs that run now.
    pub running: u64,
    /// Submissions that wait for their turn now.
    pub waiting: u64,
    /// Finished jobs that are kept now.
    pub kept_jobs: u64,
    /// Bytes of their results.
    pub kept_bytes: u64,
    /// Requests that may come at once now; `None` without a limit.
    pub requests_remaining: Option<u64>,
    /// When the server started, or the engine was made, in Unix seconds.
    pub since: i64,
    /// Runs that have ended since then, by their status.
    pub runs: BTreeMap<String, u64>,
    /// Processor time of their programs in milliseconds.
    pub cpu_time_ms: u64,
    /// Their time from start to end in milliseconds.
    pub wall_time_ms: u64,
    /// What the key may have.
    pub limits: KeyAllowance,
    /// The server's own JSON; `None` on the local engine.
    pub raw: Option<RawJson>,
}

impl KeyUsage {
    /// Takes over what a backend has of the key now.
    pub fn set_now(&mut self, now: &OwnerGauges) {
        (self.running, self.waiting) = (now.running, now.waiting);
        (self.kept_jobs, self.kept_bytes) = (now.kept_jobs, now.kept_bytes);
    }
}

/// What the runs of each owner have used; shared by threads. It has one entry for each owner that has run something.
#[derive(Debug, Default)]
pub struct Totals(Mutex<HashMap<Owner, Used>>);

#[derive(Clone, Debug, Default)]
struct Used {
    runs: BTreeMap<String, u64>,
    cpu_time_ms: u64,
    wall_time_ms: u64,
}

impl Totals {
    /// Counts a run that has ended.
    pub fn add(&self, owner: &Owner, status: &Status, result: Option<&ExecutionResult>) {
        let mut totals = lock(&self.0);
        let used = totals.entry(owner.clone()).or_default();
        *used.runs.entry(status.as_str().to_string()).or_default() += 1;
        if let Some(usage) = result.and_then(|result| result.usage) {
            used.cpu_time_ms = used.cpu_time_ms.saturating_add(usage.cpu_time_ms);
            used.wall_time_ms = used.wall_time_ms.saturating_add(usage.wall_time_ms);
        }
    }

    /// The totals of one owner, with everything else of the usage empty.
    pub fn of(&self, owner: &Owner) -> KeyUsage {
        let Used { runs, cpu_time_ms, wall_time_ms } =
            lock(&self.0).get(owner).cloned().unwrap_or_default();
        KeyUsage { runs, cpu_time_ms, wall_time_ms, ..KeyUsage::default() }
    }
}
