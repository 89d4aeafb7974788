// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the backend of the tests says of itself.
#![allow(dead_code)]

use std::sync::Mutex;
use unsandbox_protocol::backend::Health;
use unsandbox_protocol::gauges::{Gauges, QueueGauges, StoreGauges, Times};
use unsandbox_protocol::{Error, Level, Probe};

/// Healthy, of level full, and without measurements, until a test says otherwise.
#[derive(Debug)]
pub struct Condition(pub Mutex<Inner>);

#[derive(Debug)]
pub struct Inner {
    pub health: Result<Health, Error>,
    pub probe: Result<Probe, Error>,
    pub gauges: Gauges,
}

impl Default for Condition {
    fn default() -> Self {
        let health = Ok(Health { healthy: true, status: "ok".into(), raw: None });
        let probe = Ok(Probe { level: Some(Level::Full), layers: Vec::new() });
        Condition(Mutex::new(Inner { health, probe, gauges: Gauges::default() }))
    }
}

impl Inner {
    pub fn level(&mut self, level: Option<Level>) {
        self.probe = Ok(Probe { level, layers: Vec::new() });
    }

    pub fn queue(&mut self, waiting: u64, is_full: bool) {
        let waits = Times::default();
        self.gauges.queues.push(QueueGauges { name: "engine", waiting, is_full, waits });
    }

    pub fn store(&mut self, is_writable: bool) {
        let commits = Times::default();
        self.gauges.store = Some(StoreGauges { is_writable, failures: 0, commits });
    }
}
