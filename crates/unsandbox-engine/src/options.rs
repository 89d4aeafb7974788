// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of an engine.

use crate::egress::EgressOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::quota::{NoQuotas, Quotas};
use unsandbox_protocol::{IsolationPolicy, limits};

/// Options of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub isolation: IsolationPolicy,
    /// The most executions at once; 0 means twice the number of processors.
    pub concurrency: usize,
    /// The most executions of one owner in the queue, unless its quota says it.
    pub queue_max: usize,
    /// What each owner may have.
    pub quotas: Arc<dyn Quotas>,
    /// How long finished jobs are kept.
    pub retention: Duration,
    /// The most bytes of finished jobs.
    pub retention_max_bytes: usize,
    /// Whether finished jobs that were not `listed` are kept too, for callers that fetch them by id.
    pub keep_unlisted: bool,
    /// The hosts that `semitrusted` runs may reach.
    pub egress: EgressOptions,
    /// Languages with the path of the runtime that is taken before those of PATH, if it can run in a jail.
    pub runtimes: Vec<(String, PathBuf)>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            quotas: Arc::new(NoQuotas),
            retention: limits::RETENTION,
            retention_max_bytes: limits::RETENTION_MAX_BYTES,
            keep_unlisted: false,
            egress: EgressOptions::default(),
            runtimes: Vec::new(),
        }
    }
}
