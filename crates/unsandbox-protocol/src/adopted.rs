// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ends of adopted jobs: another process took their submissions, and this one has run them or found them lost. No sink
//! of this process gets such an end; a server that counts runs asks for it here.

use crate::error::Error;
use crate::events::Owner;
use crate::request::Request;
use crate::result::Job;

/// A job that has ended here and whose submission another process took.
#[derive(Clone, Copy, Debug)]
pub struct AdoptedJob<'a> {
    /// Whose job it was.
    pub owner: &'a Owner,
    /// As it was submitted, without its `callback_url`. `None` where it is not wanted, cannot be read, or too many requests
    /// wait to be told already.
    pub request: Option<&'a Request>,
    /// In a terminal state, with its result.
    pub job: &'a Job,
    /// Why the run failed inside the service; the result then has its text.
    pub error: Option<&'a Error>,
}

/// Told of adopted jobs as they end.
pub trait AdoptedJobs: Send + Sync {
    /// Takes the end of one, once it is kept; of each job once. Called from a thread of the backend, without locks held.
    fn ended(&self, ended: &AdoptedJob<'_>);

    /// Whether it looks at the requests, which have to be read and decoded.
    fn wants_requests(&self) -> bool {
        true
    }
}
