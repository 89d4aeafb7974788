// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server: bind, accept, and a stop that gives running jobs a grace period.

use crate::accepting::Accepting;
use crate::admission::Via;
use crate::connections::Limiter;
use crate::listen::{self, Listen, Socket, SocketFile};
use crate::observe::scrape;
use crate::routes::router;
use crate::runs::cancelled;
use crate::serve_connection::{Acceptor, EVENT_LOOP_THREADS, SHUTDOWN_REPORT_TIME};
use crate::state::{ServerOptions, State};
use crate::workers;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Backend, CancelToken, Error, ErrorCode};

/// How long the results of the last jobs can be fetched at a stop: longer than the pause between two polls.
const LAST_POLL_TIME: Duration = Duration::from_secs(3);
/// A flood keeps the event loop busy with long polls, so it looks for what is new after few of them: for events after each,
/// and for tasks from other threads (new connections, runs that have ended) after two, between which it goes on with its own.
const POLLS_BETWEEN_EVENTS: u32 = 1;
const POLLS_BETWEEN_NEW_TASKS: u32 = 2;
/// Connections at once to the address of the metrics.
const METRICS_CONNECTIONS: usize = 64;

/// A server that does not listen yet.
pub struct Server {
    backend: Arc<dyn Backend>,
    options: ServerOptions,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Server {
    pub fn new(backend: Arc<dyn Backend>, options: ServerOptions) -> Server {
        Server { backend, options }
    }

    /// Listens; connections are answered once [`Bound::run_until`] runs.
    ///
    /// # Errors
    /// CONFIG, if the address cannot be bound, if others can reach it and there are no keys, or if a cap or the
    /// number of connections is below the needs of any run, or if webhooks need keys or a store. INTERNAL, if the system gives no random numbers.
    pub fn bind(self, listen: &Listen) -> Result<Bound, Error> {
        self.bind_or_adopt(listen, None)
    }

    /// Listens with the sockets of a server that was started with the same addresses, and that this one replaces.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn adopt(self, listen: &Listen, sockets: Sockets) -> Result<Bound, Error> {
        self.bind_or_adopt(listen, Some(sockets))
    }

    fn bind_or_adopt(self, listen: &Listen, sockets: Option<Sockets>) -> Result<Bound, Error> {
        let Server { backend, options } = self;
        options.validate()?;
        let state = Arc::new(State::new(backend, &options)?);
        state.backend.watch_adopted(state.observer.clone());
        let (main, metrics) = sockets.map_or((None, None), |it| (Some(it.main), it.metrics));
        let socket = open(listen, main, !options.keys.is_empty())?;
        if options.tls.is_some() && matches!(socket, Socket::Unix(..)) {
            return Err(Error::new(
                ErrorCode::Config,
                "a Unix socket has no TLS; leave the certificate away, or listen on HOST:PORT",
            ));
        }
        // The metrics need no key, wherever they are told: no program runs there.
        let address = options.metrics_listen.as_ref();
        let metrics = address.map(|address| open(address, metrics, true)).transpose()?;
        let mut address = socket.to_string();
        if options.tls.is_some() {
            address = address.replacen("http:", "https:", 1);
        }
        Ok(Bound { address, state, options, socket, metrics, handed_over: CancelToken::new() })
    }
}

/// Listens, or takes a socket that listens already.
fn open(listen: &Listen, inherited: Option<OwnedFd>, has_keys: bool) -> Result<Socket, Error> {
    match inherited {
        Some(socket) => listen::adopt(socket, listen, has_keys),
        None => listen::bind(listen, has_keys),
    }
}

/// The sockets of a server, for the one that replaces it.
#[derive(Debug)]
pub struct Sockets {
    pub main: OwnedFd,
    /// That of the metrics alone, if they have an address of their own.
    pub metrics: Option<OwnedFd>,
}

/// Lets a server end in favour of another one that has its sockets.
#[derive(Debug)]
pub struct HandOver {
    /// `None` once it has begun: a socket that this process holds would take connections that nobody serves.
    sockets: Mutex<Option<Sockets>>,
    begun: CancelToken,
}

impl HandOver {
    /// # Errors
    /// If the system gives no descriptors, or the server was handed over already.
    pub fn sockets(&self) -> io::Result<Sockets> {
        let sockets = lock(&self.sockets);
        let gone = || io::Error::other("another process has the sockets of this server");
        let Sockets { main, metrics } = sockets.as_ref().ok_or_else(gone)?;
        let metrics = metrics.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Sockets { main: main.try_clone()?, metrics })
    }

    /// Another process serves. From now on no connection is accepted, waiting jobs are left to that process, and
    /// requests on open connections are answered, each as the last one. [`Bound::run_until`] returns when the last
    /// connection, run and job has ended.
    pub fn begin(&self) {
        drop(lock(&self.sockets).take());
        self.begun.cancel();
    }
}

/// A server that listens.
pub struct Bound {
    state: Arc<State>,
    options: ServerOptions,
    socket: Socket,
    /// For the metrics alone.
    metrics: Option<Socket>,
    address: String,
    handed_over: CancelToken,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Bound {
    /// The endpoint for clients: `http://127.0.0.1:8080` with the real port, `https://` with TLS, or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of the metrics, as [`Bound::address`], if they have one of their own.
    pub fn metrics_address(&self) -> Option<String> {
        self.metrics.as_ref().map(Socket::to_string)
    }

    /// For a server that is replaced by another process without a failed request.
    ///
    /// # Errors
    /// CONFIG, if the system gives no descriptors.
    pub fn hand_over(&self) -> Result<HandOver, Error> {
        let failed = |error: io::Error| {
            Error::new(ErrorCode::Config, "no descriptor for a hand-over").with_cause(error)
        };
        let main = self.socket.duplicate().map_err(failed)?;
        let metrics = self.metrics.as_ref().map(Socket::duplicate).transpose().map_err(failed)?;
        let sockets = Mutex::new(Some(Sockets { main, metrics }));
        Ok(HandOver { sockets, begun: self.handed_over.clone() })
    }

    /// Serves on this thread until `stop` is cancelled. Then new work is refused; jobs can still be fetched and
    /// cancelled until the last has ended, the grace period is over, or `stop_now` is cancelled. Remaining jobs are
    /// then cancelled.
    ///
    /// # Errors
    /// CONFIG, if the system gives no threads or descriptors for an event loop.
    pub fn run_until(self, stop: &CancelToken, stop_now: &CancelToken) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(EVENT_LOOP_THREADS)
            .max_blocking_threads(workers::THREADS)
            .event_interval(POLLS_BETWEEN_EVENTS)
            .global_queue_interval(POLLS_BETWEEN_NEW_TASKS)
            .thread_name("unsandbox-http")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorCode::Config, "cannot start the server's event loop")
                    .with_cause(error)
            })?;
        let webhooks = self.state.webhooks.as_ref().map(|webhooks| webhooks.start()).transpose()?;
        let served = runtime.block_on(self.serve(stop, stop_now));
        if let Some(webhooks) = webhooks {
            webhooks.stop();
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    async fn serve(self, stop: &CancelToken, stop_now: &CancelToken) -> Result<(), Error> {
        let Bound { state, options, socket, metrics, handed_over, .. } = self;
        let via = if matches!(socket, Socket::Tcp(..)) { Via::Tcp } else { Via::Unix };
        let limiter = state.limiter.clone();
        let tls = options.tls.clone();
        let acceptor = Acceptor::new(&options, limiter, router(state.clone(), via), tls);
        let scrapes = scrape::router(state.observer.metrics.clone());
        let scraped = Acceptor::new(&options, Limiter::new(METRICS_CONNECTIONS), scrapes, None);
        let (listener, file) = Accepting::new(socket)?;
        let (scraping, metrics_file) = metrics.map(Accepting::new).transpose()?.unzip();
        // Connections are accepted until the grace period is over: a client may still fetch its job.
        let mut until = pin!(until_last_end(&state, options.grace, stop, stop_now));
        let hand_over = async {
            cancelled(&handed_over).await;
            acceptor.hand_over();
            scraped.hand_over();
        };
        let accepting = async {
            tokio::join!(
                listener.accept(&acceptor),
                accept_if_any(scraping.as_ref(), &scraped),
                hand_over
            );
        };
        let is_handed_over = tokio::select! {
            () = accepting => true,
            () = until.as_mut() => false,
        };
        drop((listener, scraping));
        if is_handed_over {
            // They are the other process's now.
            [file, metrics_file.flatten()].into_iter().flatten().for_each(SocketFile::leave);
            tokio::select! {
                () = last_connections(&state, &acceptor) => return Ok(()),
                () = until.as_mut() => {}
            }
        }
        // Time for replies in progress, and for the ends of the jobs that are cancelled now.
        state.runs.cancel_all();
        state.end_streams();
        let quiet = async {
            acceptor.close().await;
            scraped.close().await;
            state.runs.idle().await;
        };
        let _ = tokio::time::timeout(SHUTDOWN_REPORT_TIME, quiet).await;
        Ok(())
    }
}

/// Resolves when everything has ended after `stop`: the last run, or the grace.
async fn until_last_end(
    state: &Arc<State>,
    grace: Duration,
    stop: &CancelToken,
    stop_now: &CancelToken,
) {
    cancelled(stop).await;
    let over = CancelToken::new();
    let mut drained = drain(state, &over);
    tokio::select! {
        () = last_runs(state, grace, &mut drained) => {}
        () = cancelled(stop_now) => {}
    }
    // The ends of jobs are told before the connections close.
    over.cancel();
    if !drained.is_finished() {
        let _ = tokio::time::timeout(SHUTDOWN_REPORT_TIME, drained).await;
    }
}

/// Leaves the waiting jobs to another process. The task ends when no job runs.
fn drain(state: &State, now: &CancelToken) -> JoinHandle<()> {
    let (backend, now) = (state.backend.clone(), now.clone());
    tokio::task::spawn_blocking(move || backend.drain(&now))
}

/// Resolves when the last connection, run and job of a server has ended that was handed over.
async fn last_connections(state: &State, acceptor: &Acceptor) {
    let backend = state.backend.clone();
    let _ = tokio::task::spawn_blocking(move || backend.hand_over()).await;
    // One after the other: the last request of a connection may submit a job.
    acceptor.limiter.all_closed().await;
    state.runs.idle().await;
    let _ = drain(state, &CancelToken::new()).await;
}

/// Refuses new work from now on. Resolves when the last run has ended and the backend is drained, or the grace is over.
async fn last_runs(state: &State, grace: Duration, drained: &mut JoinHandle<()>) {
    let had_jobs = state.stop();
    let idle = async {
        state.runs.idle().await;
        let _ = drained.await;
        if had_jobs {
            // The client that polls for the last job has not seen its result yet.
            tokio::time::sleep(LAST_POLL_TIME).await;
        }
    };
    let _ = tokio::time::timeout(grace, idle).await;
}

async fn accept_if_any(listener: Option<&Accepting>, acceptor: &Acceptor) {
    match listener {
        Some(listener) => listener.accept(acceptor).await,
        None => acceptor.handed_over().await,
    }
}
