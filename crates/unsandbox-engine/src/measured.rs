// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine measures of itself, for the metrics of a server.

use std::collections::BTreeMap;
use std::sync::Mutex;
use unsandbox_protocol::gauges::{Gauges, QueueGauges, Stopwatch};
use unsandbox_protocol::sync::lock;

#[derive(Debug, Default)]
pub struct Measured {
    /// From the acceptance of a run until it is handed to the jailer.
    pub waits: Stopwatch,
    /// From there to the start of its program, of runs without a compile step.
    pub starts: Stopwatch,
    /// Runs that ended because a layer could not be set up, by its name.
    jail_failures: Mutex<BTreeMap<String, u64>>,
}

impl Measured {
    pub fn jail_failed(&self, layer: &str) {
        *lock(&self.jail_failures).entry(layer.to_string()).or_default() += 1;
    }

    pub fn gauges(&self, waiting: usize, is_full: bool, running: usize) -> Gauges {
        let jail_failures = lock(&self.jail_failures).clone();
        let queue = QueueGauges {
            name: "engine",
            waiting: waiting as u64,
            is_full,
            waits: self.waits.times(),
        };
        let mut gauges = Gauges::default();
        gauges.queues.push(queue);
        gauges.running = Some(running as u64);
        gauges.starts = Some(self.starts.times());
        gauges.jail_failures = jail_failures.into_iter().collect();
        gauges
    }
}
