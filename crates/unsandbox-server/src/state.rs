// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all requests share, and how a server is set up.

use crate::budget::Budget;
use crate::idempotency::Table;
use crate::keys::Keys;
use crate::pace::Pace;
use crate::party::Party;
use crate::runs::Runs;
use crate::workers::Workers;
use axum::body::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use unsandbox_protocol::limits::{
    LIMIT_TABLE, REPLIES_MAX_BYTES, REQUEST_BODIES_MAX_BYTES, REQUEST_BODY_MAX_BYTES,
    TTL_MAX_SECONDS,
};
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, Job, Limits, Owner, ValidRequest, validate,
};

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who may come in; empty: anyone on this machine, and no web page.
    pub keys: Keys,
    /// Job replies carry the result twice, flat and nested: the service's own clients read the flat one.
    pub compat: bool,
    /// Bytes of a request body; over it 413.
    pub body_limit: usize,
    /// Bytes of all request bodies that are read at once, for one party at most three times what stays free; over
    /// it 503, after 2 s.
    pub bodies_limit: usize,
    /// Bytes of all large replies that are made or sent at once, for one party at most three times what stays
    /// free; over it 503 after `reply_patience`.
    pub replies_limit: usize,
    pub reply_patience: Duration,
    /// The most that a request may ask for, and has if it does not ask.
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
    /// How long a client may take to send a body, however steadily it comes.
    pub body_time: Duration,
    /// Bytes a second at which a body has to come, on average after the first `patience`.
    pub body_rate: u32,
    /// A connection is given up when its client takes nothing for so long while there is something to send.
    pub reply_time: Duration,
    /// Bytes a second at which a reply has to be taken, on average after the first `reply_time`.
    pub reply_rate: u32,
    /// Connections at once, 2 at least. A further one takes the place of one of the party that has the most: an
    /// idle one, else one whose request body is awaited, else a long poll, which is answered early, else one that
    /// gets a reply. Those that wait for a synchronous run stay, and a party has at most three times as many of
    /// them as there are places without one.
    ///
    /// A party is a key; a peer without one is an address (a /64 of IPv6), or a user at a Unix socket.
    pub connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            keys: Keys::default(),
            compat: true,
            body_limit: REQUEST_BODY_MAX_BYTES,
            bodies_limit: REQUEST_BODIES_MAX_BYTES,
            replies_limit: REPLIES_MAX_BYTES,
            reply_patience: Duration::from_secs(30),
            caps: Caps::default(),
            grace: Duration::from_secs(10),
            reclaim: Duration::from_secs(3),
            patience: Duration::from_secs(30),
            first_head: Duration::from_secs(5),
            body_time: Duration::from_secs(300),
            body_rate: 1024,
            reply_time: Duration::from_secs(60),
            reply_rate: 1024,
            connections: 4096,
        }
    }
}

impl ServerOptions {
    /// CONFIG, when no run could be had with them.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.connections < CONNECTIONS_MIN {
            let text = format!(
                "connections is {}; it must be at least {CONNECTIONS_MIN}",
                self.connections
            );
            return Err(Error::new(ErrorCode::Config, text));
        }
        self.caps.validate()
    }
}

/// One that waits for a run, and one more.
const CONNECTIONS_MIN: usize = 2;

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
    /// CONFIG, when a cap is none that a run could be held to.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let ttl = validate::ttl(self.ttl_seconds).map(|_| ());
        ttl.and(validate::check_limits(&self.limits)).map_err(|error| {
            Error::new(
                ErrorCode::Config,
                format!("invalid cap of this server: {}", error.message()),
            )
        })
    }

    /// Brings what a valid request leaves open under the caps; ARGUMENT, when it asks for more than this
    /// server gives.
    pub(crate) fn apply(&self, request: &mut ValidRequest<'_>) -> Result<(), Error> {
        match request.ttl {
            None => request.set_ttl(request.ttl_seconds().min(self.ttl_seconds))?,
            Some(asked) if asked > self.ttl_seconds => {
                let cap = self.ttl_seconds;
                return Err(Error::argument(format!(
                    "ttl is {asked}; this server allows at most {cap} seconds"
                )));
            }
            Some(_) => {}
        }
        let mut limits = request.limits;
        for row in LIMIT_TABLE {
            let Some(cap) = self.limits.get(row.name) else { continue };
            let default = match request.language() {
                Some(language) => language.default_limit(row),
                None => row.default,
            };
            match limits.get(row.name) {
                Some(asked) if asked > cap => {
                    return Err(Error::argument(format!(
                        "limits.{} is {asked}; this server allows at most {cap}",
                        row.name
                    )));
                }
                None if default.is_none_or(|default| default > cap) => {
                    limits.set(row.name, cap);
                }
                _ => {}
            }
        }
        request.set_limits(limits)?;
        if request.runtime.is_some() {
            return Err(Error::argument("runtime is not supported by servers; remove it"));
        }
        Ok(())
    }
}

/// How long a body may wait for its memory.
const BODY_PATIENCE: Duration = Duration::from_secs(2);
/// How long a body may have memory that another party needs more.
const BODY_SAFE: Duration = Duration::from_secs(1);
/// How long a reply may have memory that another party needs more. Longer than a body may: a reply that is cut
/// is lost to its client.
const REPLY_SAFE: Duration = Duration::from_secs(5);

/// How long the answer to `GET /languages` is reused: anyone may ask, and finding out may start programs.
const LANGUAGES_FRESH: Duration = Duration::from_secs(10);

/// Shared by all requests.
pub(crate) struct State {
    pub backend: Arc<dyn Backend>,
    pub keys: Keys,
    pub compat: bool,
    pub body_limit: usize,
    pub bodies: Budget,
    pub replies: Budget,
    pub workers: Workers,
    pub body_pace: Pace,
    pub caps: Caps,
    pub reclaim: Duration,
    pub idempotency: Arc<Table>,
    pub runs: Arc<Runs>,
    stopping: AtomicBool,
    languages: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

impl State {
    /// # Errors
    /// INTERNAL, where the system gives no random numbers.
    pub(crate) fn new(backend: Arc<dyn Backend>, options: &ServerOptions) -> Result<State, Error> {
        Ok(State {
            backend,
            keys: options.keys.clone(),
            compat: options.compat,
            body_limit: options.body_limit,
            bodies: Budget::new(options.bodies_limit, BODY_PATIENCE, BODY_SAFE),
            replies: Budget::new(options.replies_limit, options.reply_patience, REPLY_SAFE),
            workers: Workers::default(),
            body_pace: Pace {
                pause: options.patience,
                rate: options.body_rate,
                deadline: Some(options.body_time),
            },
            caps: options.caps,
            reclaim: options.reclaim,
            idempotency: Arc::new(Table::new()?),
            runs: Arc::default(),
            stopping: AtomicBool::new(false),
            languages: tokio::sync::Mutex::default(),
        })
    }

    /// Takes no new work; whether there is work under way.
    pub(crate) fn stop(&self) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        !self.runs.is_empty()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The job as it is now, if it is this owner's.
    pub(crate) async fn job(
        &self,
        party: Party,
        owner: &Owner,
        job_id: &str,
    ) -> Result<Job, Error> {
        let (backend, job_id) = (self.backend.clone(), job_id.to_string());
        let context = CallContext::of(owner.clone());
        self.workers.question(party, move || backend.get_job(&job_id, &context)).await
    }

    /// The jobs of this owner that have not ended.
    pub(crate) async fn jobs(&self, party: Party, owner: &Owner) -> Result<Vec<Job>, Error> {
        let (backend, context) = (self.backend.clone(), CallContext::of(owner.clone()));
        self.workers.question(party, move || backend.list_jobs(&context)).await
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
    use std::borrow::Cow;
    use unsandbox_protocol::Request;
    use unsandbox_protocol::language::languages;

    /// Under the caps, or why not.
    fn capped(caps: Caps, request: Request) -> Result<Request, Error> {
        let mut request = ValidRequest::new(Cow::Owned(request)).unwrap();
        caps.apply(&mut request).map(|()| request.into_request().into_owned())
    }

    #[test]
    fn a_request_over_a_cap_is_refused_with_the_cap() {
        let limits = Limits { memory_bytes: Some(1 << 28), ..Limits::default() };
        let caps = Caps { ttl_seconds: 30, limits };
        let refused = |request: Request| capped(caps, request).unwrap_err();
        capped(caps, Request::new("bash", "").ttl(30).limits(limits)).unwrap();
        let error = refused(Request::new("bash", "").ttl(31));
        assert!(error.message().contains("31") && error.message().contains("30 s"), "{error}");
        let more = Limits { memory_bytes: Some((1 << 28) + 1), ..Limits::default() };
        let error = refused(Request::new("bash", "").ttl(1).limits(more));
        assert!(error.message().contains("limits.memory_bytes"), "{error}");
        let error = refused(Request::new("bash", "").ttl(1).runtime("/bin/sh"));
        assert!(error.message().contains("runtime"), "{error}");
    }

    #[test]
    fn what_a_request_leaves_open_is_under_the_caps_too() {
        let (memory_bytes, cpu_time_ms) = (Some(64 << 20), Some(200));
        let limits =
            Limits { memory_bytes, cpu_time_ms, processes: Some(4096), ..Limits::default() };
        let given = |caps: Caps, name: &str| {
            let request = capped(caps, Request::new(name, "")).unwrap();
            (request.ttl, request.limits)
        };
        let expected = Limits { memory_bytes, cpu_time_ms, ..Limits::default() };
        assert_eq!(given(Caps { ttl_seconds: 30, limits }, "bash"), (Some(30), expected));
        assert_eq!(given(Caps::default(), "bash"), (Some(60), Limits::default()));
        // More than the default, and less than what the recipe of a language asks for.
        let greedy = languages().iter().max_by_key(|language| language.memory_mb).unwrap();
        assert!(greedy.memory_mb > 600, "{}", greedy.name);
        let some = Limits { memory_bytes: Some(600 << 20), ..Limits::default() };
        assert_eq!(given(Caps { limits: some, ..Caps::default() }, "bash").1, Limits::default());
        assert_eq!(given(Caps { limits: some, ..Caps::default() }, greedy.name).1, some);
    }

    #[test]
    fn a_cap_that_no_run_can_be_held_to_is_refused() {
        let caps = |memory_bytes| Caps {
            limits: Limits { memory_bytes: Some(memory_bytes), ..Limits::default() },
            ..Caps::default()
        };
        caps(16 << 20).validate().unwrap();
        let error = caps(1).validate().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains("memory_bytes") && error.message().contains("16777216"));
        Caps { ttl_seconds: 0, ..Caps::default() }.validate().unwrap_err();
    }
}
