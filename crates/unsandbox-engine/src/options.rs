// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an engine is set up.

use crate::egress::EgressOptions;
use std::time::Duration;
use unsandbox_protocol::{IsolationPolicy, limits};

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub isolation: IsolationPolicy,
    /// Executions at once; 0: twice the cores.
    pub concurrency: usize,
    /// Executions that may wait for their turn.
    pub queue_max: usize,
    /// How long, and up to how many bytes, finished jobs are kept.
    pub retention: Duration,
    pub retention_max_bytes: usize,
    /// Keep finished jobs that were not `listed` as well, for callers who only remember the id.
    pub keep_unlisted: bool,
    /// What `semitrusted` runs may reach.
    pub egress: EgressOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            retention: limits::RETENTION,
            retention_max_bytes: limits::RETENTION_MAX_BYTES,
            keep_unlisted: false,
            egress: EgressOptions::default(),
        }
    }
}
