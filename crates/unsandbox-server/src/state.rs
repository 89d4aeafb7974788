// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all requests share, and how a server is set up.

use crate::idempotency::Table;
use crate::keys::Keys;
use crate::room::Room;
use crate::runs::Runs;
use axum::body::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use unsandbox_protocol::limits::{
    LIMIT_TABLE, REQUEST_BODIES_MAX_BYTES, REQUEST_BODY_MAX_BYTES, TTL_MAX_SECONDS,
};
use unsandbox_protocol::{Backend, Error, Limits, Request};

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who may come in; empty: anyone on this machine, and no web page.
    pub keys: Keys,
    /// Job replies carry the result twice, flat and nested: the service's own clients read the flat one.
    pub compat: bool,
    /// Bytes of a request body; over it 413.
    pub body_limit: usize,
    /// Bytes of all request bodies that are read at once; over it 503.
    pub bodies_limit: usize,
    /// The most that a request may ask for.
    pub caps: Caps,
    /// How long running jobs may go on after a stop, before they are cancelled.
    pub grace: Duration,
    /// How long a synchronous run with an `Idempotency-Key` outlives its connection, so that a retry
    /// finds it; without the header it is cancelled at once.
    pub reclaim: Duration,
    /// How long a client may take to send the head of a request, idle time included, and then for each
    /// next piece of its body.
    pub patience: Duration,
    /// How long a new connection may take until its first request's head is there.
    pub first_head: Duration,
    /// Connections at once. A further one takes the place of the oldest that has not asked for anything, or
    /// waits to be accepted.
    pub connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            keys: Keys::default(),
            compat: true,
            body_limit: REQUEST_BODY_MAX_BYTES,
            bodies_limit: REQUEST_BODIES_MAX_BYTES,
            caps: Caps::default(),
            grace: Duration::from_secs(10),
            reclaim: Duration::from_secs(3),
            patience: Duration::from_secs(30),
            first_head: Duration::from_secs(5),
            connections: 4096,
        }
    }
}

/// Caps of one server below those of the table of limits; `None` in `limits` is the table's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    pub ttl_seconds: i64,
    pub limits: Limits,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { ttl_seconds: TTL_MAX_SECONDS, limits: Limits::default() }
    }
}

impl Caps {
    /// ARGUMENT, when a valid request asks for more than this server gives.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Error> {
        if request.ttl > self.ttl_seconds {
            return Err(Error::argument(format!(
                "ttl is {}; this server allows at most {} seconds",
                request.ttl, self.ttl_seconds
            )));
        }
        for row in LIMIT_TABLE {
            let (asked, cap) = (request.limits.get(row.name), self.limits.get(row.name));
            if let (Some(asked), Some(cap)) = (asked, cap)
                && asked > cap
            {
                return Err(Error::argument(format!(
                    "limits.{} is {asked}; this server allows at most {cap}",
                    row.name
                )));
            }
        }
        if request.runtime.is_some() {
            return Err(Error::argument(
                "runtime names a program of the caller's own machine; a server does not take it",
            ));
        }
        Ok(())
    }
}

/// How long the answer to `GET /languages` is reused: anyone may ask, and finding out may start programs.
const LANGUAGES_FRESH: Duration = Duration::from_secs(10);

/// Shared by all requests.
pub(crate) struct State {
    pub backend: Arc<dyn Backend>,
    pub keys: Keys,
    pub compat: bool,
    pub body_limit: usize,
    pub bodies: Room,
    pub patience: Duration,
    pub caps: Caps,
    pub reclaim: Duration,
    pub idempotency: Table,
    pub runs: Runs,
    stopping: AtomicBool,
    languages: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

impl State {
    pub(crate) fn new(backend: Arc<dyn Backend>, options: &ServerOptions) -> State {
        State {
            backend,
            keys: options.keys.clone(),
            compat: options.compat,
            body_limit: options.body_limit,
            bodies: Room::new(options.bodies_limit),
            patience: options.patience,
            caps: options.caps,
            reclaim: options.reclaim,
            idempotency: Table::default(),
            runs: Runs::default(),
            stopping: AtomicBool::new(false),
            languages: tokio::sync::Mutex::default(),
        }
    }

    /// Takes no new work; whether there is work under way.
    pub(crate) fn stop(&self) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        !self.runs.is_empty()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The reply to `GET /languages`, made by one request at a time.
    pub(crate) async fn languages(
        &self,
        make: impl Future<Output = Result<String, Error>>,
    ) -> Result<Bytes, Error> {
        let mut kept = self.languages.lock().await;
        if let Some((made, bytes)) = &*kept
            && made.elapsed() < LANGUAGES_FRESH
        {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(make.await?);
        *kept = Some((Instant::now(), bytes.clone()));
        Ok(bytes)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_over_a_cap_is_refused_with_the_cap() {
        let limits = Limits { memory_bytes: Some(1 << 28), ..Limits::default() };
        let caps = Caps { ttl_seconds: 30, limits };
        caps.check(&Request::new("bash", "").ttl(30).limits(limits)).unwrap();
        let error = caps.check(&Request::new("bash", "").ttl(31)).unwrap_err();
        assert!(error.message().contains("31") && error.message().contains("30 s"), "{error}");
        let more = Limits { memory_bytes: Some((1 << 28) + 1), ..Limits::default() };
        let error = caps.check(&Request::new("bash", "").ttl(1).limits(more)).unwrap_err();
        assert!(error.message().contains("limits.memory_bytes"), "{error}");
        let error = caps.check(&Request::new("bash", "").ttl(1).runtime("/bin/sh")).unwrap_err();
        assert!(error.message().contains("runtime"), "{error}");
    }
}
