// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of a server, and the state that all requests share.

use crate::budget::Budget;
use crate::caps::Caps;
use crate::connections::Limiter;
use crate::forwarded::TrustedProxies;
use crate::idempotency::{Fingerprint, Keyed, Table};
use crate::key_ring::{KeyRing, KeySet};
use crate::keys::unix_seconds;
use crate::listen::Listen;
use crate::observe::audit::AuditLog;
use crate::observe::gauges::Sources;
use crate::observe::metrics::Metrics;
use crate::observe::ready::Readiness;
use crate::observe::request_id::RequestIds;
use crate::observe::submission::Observer;
use crate::observe::trace::Tracing;
use crate::pace::Pace;
use crate::party::Party;
use crate::rate_limit::{Counted, RateLimiter};
use crate::runs::Runs;
use crate::tls::Tls;
use crate::webhooks::{WebhookOptions, Webhooks};
use crate::workers::{Workers, spawn_blocking};
use axum::body::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use unsandbox_protocol::backend::{Health, IdempotencyKey};
use unsandbox_protocol::limits::{
    REPLIES_MAX_BYTES, REQUEST_BODIES_MAX_BYTES, REQUEST_BODY_MAX_BYTES,
};
use unsandbox_protocol::quota::Quota;
use unsandbox_protocol::wire::{self, EVENTS_HEARTBEAT_SECONDS, KeyLimits, ReadyCheck};
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, IsolationPolicy, Job, JobPage, Owner, Page,
};

/// Options of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The keys that are accepted, and what each may do. Without keys, every user of this machine may use the server, but
    /// no web page.
    pub keys: Arc<KeyRing>,
    /// Programs that run at once.
    pub concurrency: usize,
    /// Programs of one key that may wait for their turn.
    pub queue: usize,
    /// Job replies contain the result twice, flat and nested: clients of the hosted service read the flat one.
    pub compat: bool,
    /// The largest request body in bytes; a larger one is refused with 413.
    pub body_limit: usize,
    /// The most bytes of all request bodies that are read at once. One party gets at most three times as much as
    /// stays free. A body that does not fit within 2 s is refused with 503.
    pub bodies_limit: usize,
    /// The most bytes of all large replies that are made or sent at once. One party gets at most three times as much
    /// as stays free. A reply that does not fit within `reply_memory_timeout` is replaced by a 503.
    pub replies_limit: usize,
    /// How long a large reply waits for memory.
    pub reply_memory_timeout: Duration,
    /// Upper bounds for the limits of a request, and its limits where it sets none and the default is higher.
    pub caps: Caps,
    /// How long jobs may continue after a stop before they are cancelled.
    pub grace: Duration,
    /// How long a synchronous run with an `Idempotency-Key` continues after its connection is lost, so that a retry
    /// finds it. A run without the header is cancelled at once.
    pub retry_window: Duration,
    /// How long the server waits for the head of a request, idle time included, and for each further piece of its
    /// body.
    pub read_timeout: Duration,
    /// How long the server waits for the head of the first request of a new connection.
    pub first_head: Duration,
    /// The longest time for a whole body, whatever its rate.
    pub body_time: Duration,
    /// The lowest rate of a body in bytes per second, on average after the first `read_timeout`.
    pub body_rate: u32,
    /// A connection is closed if its client reads nothing of a reply for this long.
    pub reply_time: Duration,
    /// The lowest rate of a reply in bytes per second, on average after the first `reply_time`.
    pub reply_rate: u32,
    /// How often a stream of events says that it is there while nothing happens.
    pub heartbeat: Duration,
    /// The most connections at once, at least 2. For a further one the server closes a connection of the party that
    /// has the most: an idle one, else one whose request body is awaited, else a long poll, which is answered early, or
    /// a stream of events, which its client resumes, else one that gets a reply. Connections that wait for a synchronous run are not closed; a party has at most
    /// three times as many of them as there are places without one.
    ///
    /// A party is a key; a peer without one is an address (a /64 of IPv6), or a user at a Unix socket.
    pub connections: usize,
    /// The isolation that runs need: below it, `GET /readyz` answers 503.
    pub isolation: IsolationPolicy,
    /// Where a line about each submission is written when it ends.
    pub audit: Option<Arc<AuditLog>>,
    /// Where the spans of requests and runs go.
    pub tracing: Option<Tracing>,
    /// An address of its own that serves the metrics, and nothing else, without a key.
    pub metrics_listen: Option<Listen>,
    /// The certificate with which connections over TCP are encrypted; without one they are plain.
    pub tls: Option<Arc<Tls>>,
    /// The proxies that say for whom they pass a request on: the address for the log, and for the party without a key.
    pub trusted_proxies: TrustedProxies,
    /// Posts the ends of jobs to the `callback_url` of their submissions; without it a submission with one is refused.
    pub webhooks: Option<WebhookOptions>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            keys: Arc::default(),
            concurrency: 1,
            queue: 0,
            compat: true,
            body_limit: REQUEST_BODY_MAX_BYTES,
            bodies_limit: REQUEST_BODIES_MAX_BYTES,
            replies_limit: REPLIES_MAX_BYTES,
            reply_memory_timeout: Duration::from_secs(30),
            caps: Caps::default(),
            grace: Duration::from_secs(10),
            retry_window: Duration::from_secs(3),
            read_timeout: Duration::from_secs(30),
            first_head: Duration::from_secs(5),
            body_time: Duration::from_secs(300),
            body_rate: 1024,
            reply_time: Duration::from_secs(60),
            reply_rate: 1024,
            heartbeat: Duration::from_secs(EVENTS_HEARTBEAT_SECONDS),
            connections: 4096,
            isolation: IsolationPolicy::Auto,
            audit: None,
            tracing: None,
            metrics_listen: None,
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            webhooks: None,
        }
    }
}

impl ServerOptions {
    /// CONFIG, if no run is possible with these options.
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

/// Of a key without a limit on requests in a minute; the clients of the service read a number.
const RATE_PER_MINUTE: u64 = 1_000_000;

/// One connection that waits for a run, and one more.
const CONNECTIONS_MIN: usize = 2;

/// How long a body waits for memory.
const BODY_MEMORY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a body is safe from eviction for its memory.
const BODY_SAFE: Duration = Duration::from_secs(1);
/// How long a reply is safe from eviction for its memory. Longer than a body: a client loses a reply that is cut
/// off.
const REPLY_SAFE: Duration = Duration::from_secs(5);

/// How long a stream of events may still wait for the end of its job when the server ends.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// How long the answer to `GET /languages` is reused: the request needs no key, and the answer may start programs.
const LANGUAGES_FRESH: Duration = Duration::from_secs(10);
/// As long as it takes the requests that waited to read it.
const HEALTH_FRESH: Duration = Duration::from_millis(100);

/// Shared by all requests.
pub(crate) struct State {
    pub backend: Arc<dyn Backend>,
    pub keys: Arc<KeyRing>,
    pub rates: RateLimiter,
    /// When the server started, in Unix seconds.
    pub since: i64,
    concurrency: usize,
    queue: usize,
    pub compat: bool,
    pub body_limit: usize,
    pub bodies: Budget,
    pub replies: Budget,
    pub workers: Workers,
    pub body_pace: Pace,
    pub caps: Caps,
    pub heartbeat: Duration,
    pub retry_window: Duration,
    pub idempotency: Arc<Table>,
    pub runs: Arc<Runs>,
    /// Listed jobs outlive this process: the backend keeps them, and their keys.
    pub stores_jobs: bool,
    pub webhooks: Option<Arc<Webhooks>>,
    pub limiter: Arc<Limiter>,
    pub observer: Arc<Observer>,
    pub request_ids: RequestIds,
    pub tracing: Option<Tracing>,
    /// Requests need a key, except for a few paths.
    pub needs_keys: bool,
    isolation: IsolationPolicy,
    readiness: Readiness,
    stopping: Arc<AtomicBool>,
    /// When streams of events end, once the grace of a stop is over.
    streams_end: watch::Sender<Option<tokio::time::Instant>>,
    languages: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
    health: tokio::sync::Mutex<Option<(Instant, Result<Health, Error>)>>,
}

impl State {
    /// # Errors
    /// INTERNAL, if the system gives no random numbers; CONFIG, if webhooks could not be sent.
    pub(crate) fn new(backend: Arc<dyn Backend>, options: &ServerOptions) -> Result<State, Error> {
        let stores_jobs = backend.key_store().is_some();
        let bodies = Budget::new(options.bodies_limit, BODY_MEMORY_TIMEOUT, BODY_SAFE);
        let replies = Budget::new(options.replies_limit, options.reply_memory_timeout, REPLY_SAFE);
        let (limiter, stopping) = (Limiter::new(options.connections), Arc::default());
        let sources = Sources {
            backend: Arc::downgrade(&backend),
            limiter: limiter.clone(),
            bodies: bodies.clone(),
            replies: replies.clone(),
            stopping: Arc::clone(&stopping),
        };
        let observer = Observer::new(Metrics::new(vec![Box::new(sources)]), options.audit.clone());
        let webhooks = options.webhooks.as_ref().map(|webhooks| {
            let (keys, metrics) = (options.keys.clone(), observer.metrics.clone());
            Webhooks::new(webhooks, &*backend, keys, metrics).map(Arc::new)
        });
        Ok(State {
            webhooks: webhooks.transpose()?,
            backend,
            limiter,
            observer: Arc::new(observer),
            request_ids: RequestIds::new()?,
            tracing: options.tracing.clone(),
            needs_keys: !options.keys.is_empty(),
            isolation: options.isolation,
            readiness: Readiness::default(),
            stores_jobs,
            keys: options.keys.clone(),
            rates: RateLimiter::default(),
            since: unix_seconds(),
            concurrency: options.concurrency,
            queue: options.queue,
            compat: options.compat,
            body_limit: options.body_limit,
            bodies,
            replies,
            workers: Workers::default(),
            body_pace: Pace {
                pause: options.read_timeout,
                rate: options.body_rate,
                deadline: Some(options.body_time),
            },
            caps: options.caps,
            heartbeat: options.heartbeat,
            retry_window: options.retry_window,
            idempotency: Arc::new(Table::new()?),
            runs: Arc::default(),
            stopping,
            streams_end: watch::Sender::new(None),
            languages: tokio::sync::Mutex::default(),
            health: tokio::sync::Mutex::default(),
        })
    }

    /// Refuses new work from now on. Returns whether there are runs in progress.
    pub(crate) fn stop(&self) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        !self.runs.is_empty()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Lets streams of events end, after a moment for the ends of the jobs that are cancelled now.
    pub(crate) fn end_streams(&self) {
        self.streams_end.send_replace(Some(tokio::time::Instant::now() + LAST_EVENTS));
    }

    /// Resolves when streams of events have to end.
    pub(crate) async fn streams_over(&self) {
        let mut ends = self.streams_end.subscribe();
        let end = ends.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            // The sender is borrowed here.
            None => std::future::pending().await,
        }
    }

    /// Where the key of a submission is remembered: in this process, in the backend's store, or in both.
    ///
    /// # Errors
    /// [`wire::store_changed`], if it names a store that is gone.
    pub(crate) fn keys_of(
        &self,
        listed: bool,
        key: String,
        fingerprint: Fingerprint,
    ) -> Result<(Option<Keyed>, Option<IdempotencyKey>), Error> {
        if !(listed && self.stores_jobs) {
            let generation = self.generation_of_key(&key)?;
            return Ok((Some(Keyed { key, generation, fingerprint }), None));
        }
        let generation = self.generation_of_key(&key);
        let is_gone = generation.is_err();
        let generation = generation.unwrap_or(None);
        // A key for this process's store, as clients of 0.1 make them, is remembered here too: only this store knows
        // which of its generations are whole.
        let keyed = generation.map(|_| Keyed { key: key.clone(), generation, fingerprint });
        Ok((keyed, Some(IdempotencyKey { key, fingerprint, may_be_new: !is_gone })))
    }

    /// The generation of this process's store that a key names, if it names a store.
    ///
    /// # Errors
    /// [`wire::store_changed`], if it names another store.
    pub(crate) fn generation_of_key(&self, key: &str) -> Result<Option<u32>, Error> {
        let Some(named) = wire::store_of_key(key) else { return Ok(None) };
        let own = self.idempotency.store();
        let generation = own.generation_of(named);
        generation.map(Some).ok_or_else(|| wire::store_changed(named, &own.name()))
    }

    /// Programs at once of a key with this quota, and how many of it may wait.
    pub(crate) fn places_of(&self, quota: &Quota) -> (usize, usize) {
        let most = quota.concurrency.unwrap_or(usize::MAX);
        (self.concurrency.min(most), quota.queue.unwrap_or(self.queue))
    }

    /// Counts a request of a key against its rate; the refusal if it is over it.
    pub(crate) fn over_rate(
        &self,
        keys: &KeySet,
        owner: &Owner,
        counted: &mut Option<Counted>,
    ) -> Option<Error> {
        let rate = keys.policy(owner).rate?;
        counted.insert(self.rates.count(owner, rate, Instant::now())).refusal()
    }

    /// What `POST /keys/validate` says that a key may ask of this server.
    pub(crate) fn key_limits(&self, owner: &Owner) -> KeyLimits {
        let set = self.keys.now();
        let policy = set.policy(owner);
        let (concurrency, queue) = self.places_of(&policy.quota);
        KeyLimits {
            rate_per_minute: policy.rate.map_or(RATE_PER_MINUTE, |rate| rate.per_minute.into()),
            burst: concurrency.saturating_add(queue) as u64,
            concurrency: concurrency as u64,
        }
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

    /// Deletes a job that has ended, and its key where that is remembered here.
    pub(crate) async fn delete_job(
        &self,
        party: Party,
        owner: &Owner,
        job_id: &str,
    ) -> Result<(), Error> {
        let (backend, id) = (self.backend.clone(), job_id.to_string());
        let context = CallContext::of(owner.clone());
        self.workers.question(party, move || backend.delete_job(&id, &context)).await?;
        self.idempotency.forget(owner, job_id);
        Ok(())
    }

    /// A page of the jobs of this owner that have not ended.
    pub(crate) async fn jobs(
        &self,
        party: Party,
        owner: &Owner,
        page: Page,
    ) -> Result<JobPage, Error> {
        let (backend, context) = (self.backend.clone(), CallContext::of(owner.clone()));
        self.workers.question(party, move || backend.list_jobs(&page, &context)).await
    }

    /// The backend's health, asked for by one request at a time: anybody may ask, and a backend may have to ask another
    /// server. Requests that waited meanwhile share the answer.
    pub(crate) async fn health(&self) -> Result<Health, Error> {
        let mut kept = self.health.lock().await;
        if let Some(health) = fresh(&kept, HEALTH_FRESH) {
            return health;
        }
        let backend = self.backend.clone();
        let health = spawn_blocking(move || backend.health(&CallContext::default())).await;
        *kept = Some((Instant::now(), health.clone()));
        health
    }

    /// Whether a program would run now, and the reply to `GET /readyz`.
    pub(crate) async fn ready(&self, with_details: bool) -> Result<(bool, String), Error> {
        let mut checks = self.readiness.checks(&self.backend, self.isolation).await?;
        let stopping = self.is_stopping().then(|| "the server is stopping".to_string());
        checks.push(ReadyCheck { name: "accepting", trouble: stopping });
        let is_ready = checks.iter().all(|check| check.trouble.is_none());
        let told = with_details.then_some(checks.as_slice());
        Ok((is_ready, wire::encode_ready(is_ready, told)))
    }

    /// The reply to `GET /languages`, made by one request at a time.
    pub(crate) async fn languages(
        &self,
        make: impl Future<Output = Result<String, Error>>,
    ) -> Result<Bytes, Error> {
        let mut kept = self.languages.lock().await;
        if let Some(bytes) = fresh(&kept, LANGUAGES_FRESH) {
            return Ok(bytes);
        }
        let bytes = Bytes::from(make.await?);
        *kept = Some((Instant::now(), bytes.clone()));
        Ok(bytes)
    }
}

/// What is kept, if it is younger than `age`.
fn fresh<T: Clone>(kept: &Option<(Instant, T)>, age: Duration) -> Option<T> {
    kept.as_ref().filter(|(made, _)| made.elapsed() < age).map(|(_, value)| value.clone())
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("keys", &self.keys).finish_non_exhaustive()
    }
}
