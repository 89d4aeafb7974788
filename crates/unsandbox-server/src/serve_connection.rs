// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection, from its acceptance to its end: the TLS handshake, the version of HTTP, its requests, and the
//! reasons for which the server closes it.

use crate::access_log::ClientAddress;
use crate::admission::party_of_head;
use crate::connections::{Handle, Limiter, Place, Stage};
use crate::fair_semaphore::FairSemaphore;
use crate::forwarded::TrustedProxies;
use crate::key_ring::KeyRing;
use crate::pace::Pace;
use crate::party::Peer;
use crate::places::Places;
use crate::state::ServerOptions;
use crate::streams::{PIECE_BYTES, StreamBody, StreamTasks};
use crate::tls::Tls;
use crate::write_deadline::WriteDeadline;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// How long cancelled jobs may take to report their end at a stop, and the rest of a reply to be sent.
pub(crate) const SHUTDOWN_REPORT_TIME: Duration = Duration::from_secs(5);
/// How long an evicted connection may take to send its answer.
const EVICTED_ANSWER: Duration = Duration::from_secs(1);

/// Streams of one HTTP/2 connection at once: as many as its specification recommends at least.
const STREAMS: u32 = 100;
/// The largest head of a request over HTTP/2.
const HEAD_BYTES: u32 = 64 << 10;
/// Bytes of a request body that a client may send over HTTP/2 before the server reads them: of one stream, and of one
/// connection. They are in memory before the body has its share of it.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// Requests that the client has reset in one burst, before the server has begun them, and resets for errors of the client:
/// beyond these numbers the connection is closed (rapid reset).
const RESETS: usize = 20;
const ERROR_RESETS: usize = 256;
/// A peer over HTTP/2 that does not answer a ping is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Threads of the event loop: as many connections and streams have their turn at once.
pub(crate) const EVENT_LOOP_THREADS: usize = 2;

/// Connections whose task has not begun yet. The event loop knows no peers, and its queue is therefore kept short.
const UNBEGUN: usize = 8;

/// What the server does with its connections; it only grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    Serving,
    /// Another process accepts connections. Requests on open ones are answered, each as the last one.
    HandedOver,
    /// The server stops. Requests in progress are the last ones.
    Closing,
}

/// Serves new connections.
pub(crate) struct Acceptor {
    pub limiter: Arc<Limiter>,
    phase: watch::Sender<Phase>,
    serving: Arc<Serving>,
    unbegun: Arc<Semaphore>,
}

/// What all connections share.
struct Serving {
    limiter: Arc<Limiter>,
    /// Limit for a request's head, and for the time between requests.
    read_timeout: Duration,
    first_head: Duration,
    reply_pace: Pace,
    router: Router,
    keys: Arc<KeyRing>,
    tls: Option<Arc<Tls>>,
    turns: FairSemaphore,
    trusted_proxies: Arc<TrustedProxies>,
}

/// A connection that was accepted.
pub(crate) struct Accepted<S> {
    pub stream: S,
    pub from: ClientAddress,
    /// `None` at a Unix socket.
    pub address: Option<IpAddr>,
}

/// The other end of a connection.
#[derive(Clone)]
struct Remote {
    address: ClientAddress,
    is_proxy: bool,
}

impl Acceptor {
    pub(crate) fn new(
        options: &ServerOptions,
        limiter: Arc<Limiter>,
        router: Router,
        tls: Option<Arc<Tls>>,
    ) -> Acceptor {
        let (pause, rate) = (options.reply_time, options.reply_rate);
        let serving = Serving {
            limiter: limiter.clone(),
            read_timeout: options.read_timeout,
            first_head: options.first_head,
            reply_pace: Pace { pause, rate, deadline: None },
            router,
            keys: options.keys.clone(),
            tls,
            turns: FairSemaphore::new(EVENT_LOOP_THREADS),
            trusted_proxies: Arc::new(options.trusted_proxies.clone()),
        };
        let phase = watch::Sender::new(Phase::Serving);
        let unbegun = Arc::new(Semaphore::new(UNBEGUN));
        Acceptor { limiter, phase, serving: Arc::new(serving), unbegun }
    }

    /// Waits until few connections have not begun: those that are accepted faster than they are served would evict each
    /// other before their first request is read.
    pub(crate) async fn unbegun(&self) -> OwnedSemaphorePermit {
        self.unbegun.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Starts a task that serves one connection until either side ends it.
    pub(crate) fn open<S>(&self, accepted: Accepted<S>, place: Place, unbegun: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Accepted { stream, from, address } = accepted;
        let is_proxy = self.serving.trusted_proxies.trusts(address);
        let from = Remote { address: from, is_proxy };
        let (serving, phase) = (self.serving.clone(), self.phase.subscribe());
        tokio::spawn(async move {
            drop(unbegun);
            serving.serve(stream, place, from, phase).await;
        });
    }

    /// Accepts no further connections: another process does.
    pub(crate) fn hand_over(&self) {
        self.phase.send_replace(Phase::HandedOver);
    }

    /// Resolves when no further connections are accepted.
    pub(crate) async fn handed_over(&self) {
        let mut phase = self.phase.subscribe();
        let _ = phase.wait_for(|phase| *phase >= Phase::HandedOver).await;
    }

    /// Resolves when the last connection has ended.
    pub(crate) async fn close(&self) {
        self.phase.send_replace(Phase::Closing);
        self.limiter.all_closed().await;
    }
}

impl Serving {
    async fn serve<S>(
        &self,
        stream: S,
        place: Place,
        from: Remote,
        mut phase: watch::Receiver<Phase>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // A handshake that never ends is as silent as a head that never comes.
        let head_until = Instant::now() + self.first_head;
        let places = Places::new(self.limiter.clone(), place);
        let stream = WriteDeadline::new(stream, self.reply_pace, places.clone());
        let Some(tls) = &self.tls else {
            return self.serve_http(stream, &places, from, phase, head_until).await;
        };
        let handshake = tls.acceptor().accept(stream);
        let handshake = self.turns.in_turns(|| Some(places.party()), handshake);
        let stream = tokio::select! {
            biased;
            _ = places.evicted() => return,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
            done = tokio::time::timeout_at(head_until, handshake) => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return log::debug!("TLS handshake: {error}"),
                Err(_) => return,
            },
        };
        self.serve_http(stream, &places, from, phase, head_until).await;
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        places: &Arc<Places>,
        from: Remote,
        phase: watch::Receiver<Phase>,
        head_until: Instant,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = StreamTasks::new(self.turns.clone());
        let requests = Requests {
            router: TowerToHyperService::new(self.router.clone()),
            keys: self.keys.clone(),
            places: places.clone(),
            tasks: tasks.clone(),
            from,
            trusted_proxies: self.trusted_proxies.clone(),
            reply_pace: self.reply_pace,
            phase: phase.clone(),
        };
        let service = service_fn(move |request| requests.answer(request));
        let builder = self.builder(tasks);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let times = Times { head_until, idle: self.read_timeout, reply: self.reply_pace.pause };
        serve_connection(connection, places, phase, times, &self.turns).await;
    }

    fn builder(&self, tasks: StreamTasks) -> auto::Builder<StreamTasks> {
        let mut builder = auto::Builder::new(tasks);
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(PIECE_BYTES)
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(ERROR_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        builder
    }
}

/// The requests of one connection.
struct Requests {
    router: TowerToHyperService<Router>,
    keys: Arc<KeyRing>,
    places: Arc<Places>,
    tasks: StreamTasks,
    from: Remote,
    trusted_proxies: Arc<TrustedProxies>,
    reply_pace: Pace,
    phase: watch::Receiver<Phase>,
}

/// A reply, which never fails: refusals are replies too.
type Answer = Result<Response<Body>, Infallible>;

impl Requests {
    /// The log's name of the client, who may be behind a proxy, and its peer.
    fn client(&self, request: &Request<Incoming>) -> (ClientAddress, Peer) {
        let proxies = Some(&self.trusted_proxies).filter(|_| self.from.is_proxy);
        match proxies.and_then(|proxies| proxies.client(request.headers())) {
            Some(client) => (ClientAddress::ip(client), Peer::of_address(client)),
            None => (self.from.address.clone(), self.places.peer()),
        }
    }

    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answer> + use<> {
        let is_stream = request.version() == Version::HTTP_2;
        // Before the future is polled: hyper starts the task of the stream next.
        let watch = is_stream.then(|| self.tasks.begin(self.places.party()));
        let (router, keys, (from, peer)) =
            (self.router.clone(), self.keys.clone(), self.client(&request));
        let (places, pace, phase) = (self.places.clone(), self.reply_pace, self.phase.clone());
        async move {
            let Some(watch) = watch else {
                let mut reply = reply_to(&router, request, places.alone(), from, peer).await?;
                if *phase.borrow() == Phase::HandedOver {
                    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                return Ok(reply);
            };
            let (parts, body) = request.into_parts();
            let party = || party_of_head(&keys.now().keys, &parts, peer);
            let place = places.of_stream(peer, party).await;
            watch.placed(place.handle());
            let request = Request::from_parts(parts, body);
            let reply = reply_to(&router, request, place.handle(), from, peer).await?;
            Ok(reply.map(|body| Body::new(StreamBody::new(body, pace, watch, place))))
        }
    }
}

async fn reply_to(
    router: &TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    handle: &Handle,
    from: ClientAddress,
    peer: Peer,
) -> Answer {
    request.extensions_mut().insert(handle.begin_for(peer));
    request.extensions_mut().insert(from);
    router.call(request).await
}

/// Why a connection is no longer served.
enum Ending {
    Ended,
    Silent,
    Idle,
    Evicted(Stage),
    Closing,
}

/// The time limits of a connection.
#[derive(Clone, Copy)]
struct Times {
    /// When the first head has to be there.
    head_until: Instant,
    /// The longest time without a stream.
    idle: Duration,
    /// How long the last reply may take after that.
    reply: Duration,
}

/// Serves a connection until it ends, is evicted, or the server stops.
async fn serve_connection<C>(
    connection: C,
    places: &Places,
    mut phase: watch::Receiver<Phase>,
    times: Times,
    turns: &FairSemaphore,
) where
    C: GracefulConnection<Error: fmt::Display> + Send,
{
    let mut connection = pin!(connection);
    let silent = async {
        tokio::time::sleep_until(times.head_until).await;
        if places.has_asked() {
            std::future::pending::<()>().await;
        }
    };
    let mut silent = pin!(silent);
    let mut last_streams = pin!(last_streams(places, phase.clone()));
    let mut is_last = false;
    let ending = loop {
        tokio::select! {
            // Evicted before served: the answer then says that the connection closes.
            biased;
            stage = places.evicted() => break Ending::Evicted(stage),
            served = turns.in_turns(|| Some(places.party()), connection.as_mut()) => {
                // Not a fault of the server.
                if let Err(error) = served {
                    log::debug!("connection: {error}");
                }
                break Ending::Ended;
            }
            () = silent.as_mut() => break Ending::Silent,
            () = places.without_streams(times.idle) => break Ending::Idle,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => break Ending::Closing,
            () = last_streams.as_mut(), if !is_last => {
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    match ending {
        Ending::Ended | Ending::Silent => {}
        Ending::Idle => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(times.reply, connection).await;
        }
        Ending::Evicted(Stage::Body | Stage::LongPoll) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(EVICTED_ANSWER, connection).await;
        }
        Ending::Evicted(_) => {}
        Ending::Closing if !places.has_asked() => {}
        Ending::Closing => {
            connection.as_mut().graceful_shutdown();
            // A request that was accepted gets its answer; the rest of the last reply gets a bounded time.
            while tokio::time::timeout(SHUTDOWN_REPORT_TIME, connection.as_mut()).await.is_err()
                && !places.is_idle()
            {}
        }
    }
}

/// Resolves when a connection over HTTP/2 has to be told that its next streams are the last ones: HTTP/2 can say so
/// without losing a request that is on its way. HTTP/1 says it with a reply.
async fn last_streams(places: &Places, mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::HandedOver).await;
    places.multiplexed().await;
}
