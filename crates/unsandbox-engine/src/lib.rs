// SPDX-License-Identifier: MIT OR Apache-2.0
//! The embedded engine: runs programs on this machine in a rootless sandbox. A [`Backend`].

use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::{
    Backend, Error, ErrorCode, EventSink, IsolationPolicy, Job, Owner, Probe, Submission, limits,
};

/// How an engine is set up. Zero or empty fields take the defaults of the table of limits.
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
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            retention: limits::RETENTION,
            retention_max_bytes: limits::RETENTION_MAX_BYTES,
        }
    }
}

/// The engine. Dropping the last handle ends every run and the jailer.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// Sets the engine up; its jailer starts with the first execution.
    pub fn new(options: EngineOptions) -> Result<Engine, Error> {
        Ok(Engine { options })
    }

    /// Which layers this machine gives.
    pub fn probe(&self) -> Result<Probe, Error> {
        Ok(Probe { level: None, layers: Vec::new() })
    }

    /// Refuses new submissions, waits up to `grace` for what runs, then ends everything.
    pub fn close(&self, grace: Duration) {
        let _ = (grace, &self.options);
    }
}

fn unfinished() -> Error {
    Error::new(ErrorCode::IsolationUnavailable, "the engine is not built yet")
}

impl Backend for Engine {
    fn submit(&self, _: Submission, _: Arc<dyn EventSink>) -> Result<Job, Error> {
        Err(unfinished())
    }
    fn cancel(&self, _: &Owner, _: &str, _: Arc<dyn EventSink>) -> Result<(), Error> {
        Err(unfinished())
    }
    fn get(&self, _: &Owner, _: &str) -> Result<Job, Error> {
        Err(unfinished())
    }
    fn watch(&self, _: &Owner, _: &str, _: Arc<dyn EventSink>) -> Result<(), Error> {
        Err(unfinished())
    }
    fn list(&self, _: &Owner) -> Result<Vec<Job>, Error> {
        Err(unfinished())
    }
    fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        Err(unfinished())
    }
    fn validate_key(&self) -> Result<KeyInfo, Error> {
        Err(unfinished())
    }
    fn health(&self) -> Result<Health, Error> {
        Err(unfinished())
    }
}
