// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the runs of each key have used since the server started.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::wire::KeyTotals;
use unsandbox_protocol::{ExecutionResult, Owner, Status};

/// One entry for each key that has run something: there are as many as the keys of the server.
#[derive(Debug, Default)]
pub(crate) struct Totals(Mutex<HashMap<Owner, Used>>);

#[derive(Clone, Debug, Default)]
struct Used {
    runs: BTreeMap<String, u64>,
    cpu_time_ms: u64,
    wall_time_ms: u64,
}

impl Totals {
    pub(crate) fn add(&self, owner: &Owner, status: &Status, result: Option<&ExecutionResult>) {
        let mut totals = lock(&self.0);
        let used = totals.entry(owner.clone()).or_default();
        *used.runs.entry(status.as_str().to_string()).or_default() += 1;
        if let Some(usage) = result.and_then(|result| result.usage) {
            used.cpu_time_ms = used.cpu_time_ms.saturating_add(usage.cpu_time_ms);
            used.wall_time_ms = used.wall_time_ms.saturating_add(usage.wall_time_ms);
        }
    }

    pub(crate) fn of(&self, owner: &Owner) -> KeyTotals {
        let used = lock(&self.0).get(owner).cloned().unwrap_or_default();
        let Used { runs, cpu_time_ms, wall_time_ms } = used;
        KeyTotals { runs: runs.into_iter().collect(), cpu_time_ms, wall_time_ms }
    }
}
