// SPDX-License-Identifier: MIT OR Apache-2.0
//! Webhooks: when a job with a `callback_url` has ended, that is posted to it, at least once. The backend keeps them
//! (`Backend::outbox`); here `schedule.rs` takes those that are due, `places.rs` counts those under way, `address.rs` says
//! whom they may reach, and `deliver.rs` posts one. They have an event loop of their own: names that resolve slowly delay
//! no request.

mod address;
mod at_most;
mod deliver;
mod places;
mod schedule;

use crate::key_ring::KeyRing;
use crate::observe::metrics::Metrics;
use address::Rules;
use deliver::Courier;
use schedule::Schedule;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use unsandbox_protocol::net::Network;
use unsandbox_protocol::outbox::Outbox;
use unsandbox_protocol::webhook::{CallbackUrl, refuse_synchronous};
use unsandbox_protocol::{Backend, Error, Request};

/// Deliveries at once.
const PLACES: usize = 64;
/// Of those, the ones of one key.
const PLACES_EACH: usize = 4;
/// For a delivery from the lookup of the name to the status of the reply.
const DEADLINE: Duration = Duration::from_secs(15);
/// How long a stop waits for deliveries under way.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);
/// Between the attempts, the first one behind the first attempt; then a webhook is given up.
const PAUSES_SECONDS: [u64; 9] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000];

/// Finds the addresses of a name; may block.
pub type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Options of webhooks.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Where receivers may be beside the addresses of the public Internet.
    pub allow: Vec<Network>,
    /// Whether an address is one of this machine, which no receiver may have unless it is allowed.
    pub is_own: fn(IpAddr) -> bool,
    /// The authorities whose certificates are trusted, as PEM text; `None` for those that are built in.
    pub authorities: Option<Vec<u8>>,
    /// How long a delivery may take.
    pub deadline: Duration,
    /// The pauses between attempts. A webhook is given up when they are used up.
    pub pauses: Vec<Duration>,
    /// In place of the resolver of the system.
    pub resolve: Option<Resolve>,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        WebhookOptions {
            allow: Vec::new(),
            is_own: |_| false,
            authorities: None,
            deadline: DEADLINE,
            pauses: PAUSES_SECONDS.map(Duration::from_secs).to_vec(),
            resolve: None,
        }
    }
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl WebhookOptions {
    /// Reads addresses (`192.0.2.1`) and networks (`10.0.0.0/8`, `2001:db8::/32`).
    ///
    /// # Errors
    /// CONFIG, if one is none of these.
    pub fn allow<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<Network>, Error> {
        let read = |word: &str| {
            Network::parse(word).ok_or_else(|| {
                Error::config(format!(
                    "{word:?} is not an address or a network; give an address, as 192.0.2.1, or a network, as 10.0.0.0/8"
                ))
            })
        };
        words.into_iter().map(read).collect()
    }
}

/// The webhooks of a server.
pub(crate) struct Webhooks {
    rules: Arc<Rules>,
    schedule: Arc<Schedule>,
}

impl Webhooks {
    /// # Errors
    /// CONFIG, if the server has no keys, its backend keeps no webhooks, or an authority cannot be read.
    pub(crate) fn new(
        options: &WebhookOptions,
        backend: &dyn Backend,
        keys: Arc<KeyRing>,
        metrics: Arc<Metrics>,
    ) -> Result<Webhooks, Error> {
        if keys.is_empty() {
            return Err(Error::config(
                "webhooks need keys: each is signed with a secret that follows from the API key; give --keys FILE \
                 (`unsandbox keys new --add FILE` makes a key), or leave --webhooks away",
            ));
        }
        let outbox: Arc<dyn Outbox> = backend.outbox().ok_or_else(|| {
            Error::config(
                "webhooks need a store on disk, which keeps them until they are delivered; leave --store memory away, or \
                 --webhooks",
            )
        })?;
        let rules = Arc::new(Rules::new(options));
        let courier = Courier::new(options, rules.clone())?;
        let schedule = Arc::new(Schedule::new(courier, outbox, keys, metrics, options));
        Ok(Webhooks { rules, schedule })
    }

    /// Wakes the schedule: a job with a webhook has ended.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        self.schedule.wake.clone()
    }

    /// Delivers on threads of its own.
    ///
    /// # Errors
    /// CONFIG, if the system gives no threads.
    pub(crate) fn start(&self) -> Result<Delivering, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            // A lookup of a name each, and the outcomes that are written.
            .max_blocking_threads(2 * PLACES)
            .thread_name("unsandbox-webhooks")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::config("cannot start the event loop of webhooks").with_cause(error)
            })?;
        let runs = runtime.spawn(self.schedule.clone().run());
        Ok(Delivering { runtime, runs, schedule: self.schedule.clone() })
    }
}

/// What delivers webhooks.
pub(crate) struct Delivering {
    runtime: Runtime,
    runs: JoinHandle<()>,
    schedule: Arc<Schedule>,
}

impl Delivering {
    /// Begins no delivery any more, and gives those under way a moment: the next process delivers those that are cut off
    /// once more, when their leases end.
    pub(crate) fn stop(self) {
        self.runs.abort();
        let idle = self.schedule.idle();
        let _ = self.runtime.block_on(async { tokio::time::timeout(LAST_DELIVERIES, idle).await });
        self.runtime.shutdown_background();
    }
}

/// Refuses a `callback_url` that nobody would post to.
///
/// # Errors
/// ARGUMENT, if it is not of a job, if the server sends no webhooks, or for an address that may not have them.
pub(crate) fn check(
    webhooks: Option<&Webhooks>,
    request: &Request,
    is_job: bool,
) -> Result<(), Error> {
    let Some(url) = &request.callback_url else { return Ok(()) };
    if !is_job {
        refuse_synchronous(request)?;
    }
    let webhooks = webhooks.ok_or_else(|| {
        Error::argument(
            "callback_url cannot be used: this server sends no webhooks; remove it and ask for the job, or have the server \
             started with --webhooks",
        )
    })?;
    webhooks.rules.check(&CallbackUrl::parse(url)?.host)
}
