// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server as a place that runs code: `http`, `https` or a Unix socket.

use crate::builder::Timeouts;
use crate::call::CallOptions;
use crate::config::Endpoint;
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;
use unsandbox_protocol::auth::Credentials;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::{Error, ErrorCode, ExecutionResult, Job, Request, limits};

/// `execute` or `run`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Execute,
    Run,
}

#[derive(Clone, Debug)]
pub(crate) struct RemoteOptions {
    pub(crate) timeouts: Timeouts,
    pub(crate) retries: u32,
    pub(crate) reply_max_bytes: usize,
    pub(crate) job_threshold: Duration,
    pub(crate) user_agent: String,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        RemoteOptions {
            timeouts: Timeouts::default(),
            retries: 3,
            reply_max_bytes: limits::REPLY_MAX_BYTES,
            job_threshold: Duration::from_secs(120),
            user_agent: concat!("unsandbox-rust/", env!("CARGO_PKG_VERSION")).to_string(),
            ca_file: None,
        }
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Remote {}

fn unfinished<T>() -> Result<T, Error> {
    Err(Error::new(ErrorCode::Connect, "servers cannot be reached yet"))
}

impl Remote {
    pub(crate) fn new(
        _endpoint: Endpoint,
        _credentials: Option<Credentials>,
        _options: RemoteOptions,
    ) -> Result<Remote, Error> {
        Ok(Remote {})
    }
    pub(crate) fn close(&self) {}
    pub(crate) fn execute(
        &self,
        _route: Route,
        _request: Cow<'_, Request>,
        _options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        unfinished()
    }
    pub(crate) fn submit_job(
        &self,
        _route: Route,
        _request: Cow<'_, Request>,
        _options: CallOptions,
    ) -> Result<Job, Error> {
        unfinished()
    }
    pub(crate) fn job(&self, _: &str, _: &CallOptions) -> Result<Job, Error> {
        unfinished()
    }
    pub(crate) fn wait(&self, _: &str, _: &CallOptions) -> Result<ExecutionResult, Error> {
        unfinished()
    }
    pub(crate) fn cancel_job(&self, _: &str, _: &CallOptions) -> Result<ExecutionResult, Error> {
        unfinished()
    }
    pub(crate) fn jobs(&self, _: &CallOptions) -> Result<Vec<Job>, Error> {
        unfinished()
    }
    pub(crate) fn list_languages(&self, _: &CallOptions) -> Result<Vec<LanguageInfo>, Error> {
        unfinished()
    }
    pub(crate) fn key_info(&self, _: &CallOptions) -> Result<KeyInfo, Error> {
        unfinished()
    }
    pub(crate) fn check_health(&self, _: &CallOptions) -> Result<Health, Error> {
        unfinished()
    }
}
