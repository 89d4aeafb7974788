// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a server: bind, accept, and a stop that lets running jobs end within their grace.

use crate::connections::{Handle, Limiter, Place, Stage};
use crate::guard::Via;
use crate::listen::{self, Listen, Socket};
use crate::pace::Pace;
use crate::party::Peer;
use crate::routes::router;
use crate::state::{ServerOptions, State};
use crate::workers;
use crate::write_deadline::WriteDeadline;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use unsandbox_protocol::{Backend, CancelToken, Error, ErrorCode};

/// How long cancelled jobs may take to report their end at a stop.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the results of the last jobs can be asked for: longer than any client pauses between polls.
const LAST_LOOK: Duration = Duration::from_secs(3);
/// How long a connection that has to make room may take to send its answer.
const EVICTED_ANSWER: Duration = Duration::from_secs(1);
/// Pause after a failed accept: what fails for want of descriptors would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// CONFIG, when the address cannot be had, when others can reach it and there are no keys, or when a
    /// cap or the number of connections is below what any run needs. INTERNAL, when the system gives no random
    /// numbers.
    pub fn bind(self, listen: &Listen) -> Result<Bound, Error> {
        let Server { backend, options } = self;
        options.validate()?;
        let state = Arc::new(State::new(backend, &options)?);
        let socket = listen::bind(listen, !options.keys.is_empty())?;
        Ok(Bound { address: socket.to_string(), state, options, socket })
    }
}

/// A server that listens.
pub struct Bound {
    state: Arc<State>,
    options: ServerOptions,
    socket: Socket,
    address: String,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Bound {
    /// The endpoint for clients: `http://127.0.0.1:8080` with the real port, or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Serves on this thread until `stop` is cancelled. Then new work is refused, and jobs can be asked for
    /// and cancelled until the last has ended or the grace is over (`hurry` ends the waiting); the rest is
    /// cancelled.
    ///
    /// # Errors
    /// CONFIG, when the system gives no threads or descriptors for an event loop.
    pub fn run_until(self, stop: &CancelToken, hurry: &CancelToken) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(workers::THREADS)
            .thread_name("unsandbox-http")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorCode::Config, "cannot start the server's event loop")
                    .with_cause(error)
            })?;
        let served = runtime.block_on(self.serve(stop, hurry));
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    async fn serve(self, stop: &CancelToken, hurry: &CancelToken) -> Result<(), Error> {
        let Bound { state, options, socket, .. } = self;
        let failed = |error: std::io::Error| {
            Error::new(ErrorCode::Config, "cannot listen").with_cause(error)
        };
        let via = if matches!(socket, Socket::Tcp(..)) { Via::Tcp } else { Via::Unix };
        let acceptor = Acceptor::new(&options, router(state.clone(), via));
        // Connections are accepted until the grace is over: a client that has a job may still ask for it.
        let until = async {
            cancelled(stop).await;
            tokio::select! {
                () = last_runs(&state, options.grace) => {}
                () = cancelled(hurry) => {}
            }
        };
        let _file = match socket {
            Socket::Tcp(listener, _) => {
                let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
                tokio::select! {
                    () = accept_tcp(listener, &acceptor) => {}
                    () = until => {}
                }
                None
            }
            Socket::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
                tokio::select! {
                    () = accept_unix(listener, &acceptor) => {}
                    () = until => {}
                }
                Some(file)
            }
        };
        // For the replies that are under way, and the ends of what is cancelled now.
        state.runs.cancel_all();
        let quiet = async {
            acceptor.close().await;
            state.runs.idle().await;
        };
        let _ = tokio::time::timeout(LAST_WORDS, quiet).await;
        Ok(())
    }
}

/// Refuses new work from now on. Resolves when the last run has ended or the grace is over.
async fn last_runs(state: &State, grace: Duration) {
    let had_jobs = state.stop();
    let idle = async {
        state.runs.idle().await;
        if had_jobs {
            // Whoever polls for the last job's result has not seen it yet.
            tokio::time::sleep(LAST_LOOK).await;
        }
    };
    let _ = tokio::time::timeout(grace, idle).await;
}

/// Serves new connections.
struct Acceptor {
    limiter: Arc<Limiter>,
    /// Becomes true when the server stops: what is under way is the last.
    closing: watch::Sender<bool>,
    /// For a request's head, and between requests.
    patience: Duration,
    first_head: Duration,
    reply_pace: Pace,
    router: Router,
}

impl Acceptor {
    fn new(options: &ServerOptions, router: Router) -> Acceptor {
        let (pause, rate) = (options.reply_time, options.reply_rate);
        Acceptor {
            limiter: Limiter::new(options.connections),
            closing: watch::Sender::new(false),
            patience: options.patience,
            first_head: options.first_head,
            reply_pace: Pace { pause, rate, deadline: None },
            router,
        }
    }

    /// Answers the requests of one connection until either side ends it. When the server is full, this resolves
    /// after the connection's task has started: connections that are accepted faster than they are served
    /// would evict each other before their first request is read.
    async fn open<S>(&self, stream: S, place: Place)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = TowerToHyperService::new(self.router.clone());
        let handle = place.handle.clone();
        let stream = WriteDeadline::new(stream, self.reply_pace, handle.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(handle.begin());
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience)
            .serve_connection(TokioIo::new(stream), service);
        let (closing, first_head) = (self.closing.subscribe(), self.first_head);
        let (begin, begun) = oneshot::channel();
        tokio::spawn(async move {
            let _ = begin.send(());
            attend(connection, &place.handle, closing, first_head).await;
            drop(place);
        });
        if self.limiter.is_full() {
            let _ = begun.await;
        }
    }

    /// Resolves when the last connection has ended.
    async fn close(&self) {
        self.closing.send_replace(true);
        self.limiter.all_closed().await;
    }
}

/// Why a connection is no longer served.
enum Ending {
    Ended,
    Silent,
    Evicted(Stage),
    Stopped,
}

/// Drives a connection to its end, or until it has to make room for another or the server stops.
async fn attend<C>(
    connection: C,
    handle: &Handle,
    mut closing: watch::Receiver<bool>,
    first_head: Duration,
) where
    C: GracefulConnection<Error: fmt::Display> + Send,
{
    let mut connection = pin!(connection);
    let silent = async {
        tokio::time::sleep(first_head).await;
        if handle.has_asked() {
            std::future::pending::<()>().await;
        }
    };
    let ending = tokio::select! {
        // Evicted before served: the answer then says that the connection closes.
        biased;
        stage = handle.evicted() => Ending::Evicted(stage),
        served = connection.as_mut() => {
            // A broken connection concerns only its client.
            if let Err(error) = served {
                log::debug!("connection: {error}");
            }
            Ending::Ended
        }
        () = silent => Ending::Silent,
        _ = closing.wait_for(|closing| *closing) => Ending::Stopped,
    };
    match ending {
        Ending::Ended | Ending::Silent => {}
        Ending::Evicted(Stage::Body | Stage::LongPoll) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(EVICTED_ANSWER, connection).await;
        }
        Ending::Evicted(_) => {}
        Ending::Stopped if !handle.has_asked() => {}
        Ending::Stopped => {
            connection.as_mut().graceful_shutdown();
            // A request that was let in has its answer; what is left of the last reply has a moment.
            while tokio::time::timeout(LAST_WORDS, connection.as_mut()).await.is_err()
                && !handle.is_idle()
            {}
        }
    }
}

async fn accept_tcp(listener: tokio::net::TcpListener, acceptor: &Acceptor) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let place = acceptor.limiter.admit(Peer::of_address(address.ip())).await;
                // A reply is one small write; waiting for more would only delay it.
                let _ = stream.set_nodelay(true);
                acceptor.open(stream, place).await;
            }
            Err(error) => accept_failed(error).await,
        }
    }
}

async fn accept_unix(listener: tokio::net::UnixListener, acceptor: &Acceptor) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let user = stream.peer_cred().map(|credentials| credentials.uid()).ok();
                let place = acceptor.limiter.admit(Peer::User(user)).await;
                acceptor.open(stream, place).await;
            }
            Err(error) => accept_failed(error).await,
        }
    }
}

async fn accept_failed(error: std::io::Error) {
    log::warn!("cannot accept a connection: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Resolves when the token is cancelled.
async fn cancelled(token: &CancelToken) {
    let (sender, receiver) = oneshot::channel();
    let _guard = token.on_cancel(move || {
        let _ = sender.send(());
    });
    // The sender lives in the token, and the token is borrowed here.
    let _ = receiver.await;
}
