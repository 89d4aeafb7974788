// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events about a client's requests, for the caller's metrics and traces. They contain no keys, query strings or
//! bodies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::ErrorCode;

/// A request to a server begins or has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RequestEvent<'a> {
    /// A request is about to be sent for the first time.
    Started {
        /// HTTP method in upper case, as `POST`.
        method: &'a str,
        /// Without the query string.
        path: &'a str,
        /// Of the request's body.
        bytes_sent: usize,
    },
    /// A request has its answer, or was given up.
    Ended {
        /// HTTP method in upper case, as `POST`.
        method: &'a str,
        /// Without the query string.
        path: &'a str,
        /// Of the last answer; `None` if there was none.
        status: Option<u16>,
        /// Why it failed; `None` for an answer that is not a refusal.
        error: Option<ErrorCode>,
        /// Of the request's body, counted once however often it was sent.
        bytes_sent: usize,
        /// Of the last answer's body, after decompression.
        bytes_received: usize,
        /// The number of attempts to send it.
        attempts: u32,
        /// The time including the pauses between the attempts.
        elapsed: Duration,
    },
}

type ObserverFn = dyn Fn(&RequestEvent<'_>) + Send + Sync;

/// The caller's function; called on the thread of the call, without locks held.
#[derive(Clone)]
pub(crate) struct Observer(pub(crate) Arc<ObserverFn>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
