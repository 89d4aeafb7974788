// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request and its reply over a pooled connection: built, signed, sent and read under a size limit. Errors are
//! classified here, including whether the server may have received the request.

use super::connection_state::ConnectionState;
use super::control::Control;
use super::key::Keys;
use super::live::{Live, SILENCE, StreamEnd, StreamFault};
use super::mask::Masked;
use super::once::Once;
use super::resolver::{ConnectionResolver, LookupFailed};
use super::socket::{SocketConnector, Target, WatchConnector};
#[cfg(feature = "socks")]
use super::socks::SocksConnector;
use super::{RemoteOptions, proxy, tls};
use crate::config::Endpoint;
use crate::fork::PerProcess;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use unsandbox_protocol::auth::{Credentials, sign};
use unsandbox_protocol::backend::cancelled;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::wire::{self, http_date};
use unsandbox_protocol::{Error, ErrorCode};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, RustlsConnector};
use ureq::{Agent, Body, Timeout};

/// Idle connections that are kept for the next calls.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// The most bytes that are allocated for a reply in advance, even if its announced length is larger.
const READ_AHEAD_MAX: u64 = 1024 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Asks for [`wire::Shape::Lean`].
const LEAN: HeaderValue = HeaderValue::from_static("0");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream, application/json");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static(wire::LAST_EVENT_ID_HEADER);
const COMPAT: HeaderName = HeaderName::from_static(wire::COMPAT_HEADER);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(wire::IDEMPOTENCY_KEY_HEADER);
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// A request to the server.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// With its query string, below the endpoint.
    pub(super) target: &'a str,
    pub(super) content_type: &'static str,
    pub(super) body: &'a [u8],
    /// Only for a submission, which must not run twice; other requests are idempotent.
    pub(super) once: Option<&'a Once>,
    /// Whether NOT_FOUND is the success of an attempt whose reply was lost: the request removes what it names.
    pub(super) removes: bool,
    /// Takes the events of a reply that is a stream of them; its last event is then the answer.
    pub(super) live: Option<&'a Live<'a>>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(target: &'a str) -> Self {
        Ask {
            method: Method::GET,
            target,
            content_type: "",
            body: b"",
            once: None,
            removes: false,
            live: None,
        }
    }

    pub(super) fn delete(target: &'a str) -> Self {
        Ask { method: Method::DELETE, ..Ask::get(target) }
    }

    pub(super) fn post(target: &'a str, body: &'a [u8]) -> Self {
        Ask { method: Method::POST, content_type: "application/json", body, ..Ask::get(target) }
    }
}

/// The server's reply, with any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there was no reply, and whether the server may have received the request.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: Error,
    pub(super) sent: bool,
}

struct Connection {
    state: Arc<ConnectionState>,
    agent: Agent,
}

/// State that a forked child must not share with its parent.
#[derive(Default)]
struct Own {
    idle: Mutex<Vec<Connection>>,
    keys: Keys,
}

/// The connections to one server.
pub(super) struct Exchange {
    base: String,
    /// The path of the endpoint, which precedes every target.
    prefix: String,
    pub(super) endpoint: String,
    target: Target,
    credentials: Option<Credentials>,
    /// The header with the key, which is the same in every request.
    bearer: Option<Masked>,
    /// Seconds by which the server's clock is ahead of ours.
    skew: AtomicI64,
    config: ureq::config::Config,
    options: RemoteOptions,
    own: PerProcess<Own>,
}

impl Exchange {
    pub(super) fn new(
        endpoint: Endpoint,
        credentials: Option<Credentials>,
        options: RemoteOptions,
    ) -> Result<Self, Error> {
        let shown = endpoint.to_string();
        let (base, target) = match endpoint {
            Endpoint::Url(url) => (url, Target::Host),
            Endpoint::Unix(path) => ("http://localhost".to_string(), Target::Path(path)),
            Endpoint::Local => return Err(Error::internal("local: is not a server endpoint")),
        };
        let after_scheme = base.split_once("://").map_or("", |(_, rest)| rest);
        let prefix = after_scheme.find('/').map_or("", |at| &after_scheme[at..]).to_string();
        let proxy = match target {
            Target::Host => proxy::choose(&options.proxy, &base, &|name| std::env::var(name).ok())?,
            Target::Path(_) => None,
        };
        let timeouts = options.timeouts;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(base.starts_with("https://"))
            .user_agent(options.user_agent.as_str())
            .tls_config(tls::config(&options.roots)?)
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(timeouts.send)
            .timeout_send_body(timeouts.send)
            .timeout_recv_response(timeouts.first_byte)
            .timeout_per_read(timeouts.read)
            .proxy(proxy);
        Ok(Exchange {
            base,
            prefix,
            endpoint: shown,
            target,
            bearer: credentials.as_ref().map(bearer),
            credentials,
            skew: AtomicI64::new(0),
            config: config.build(),
            options,
            own: PerProcess::new(),
        })
    }

    fn own(&self) -> &Own {
        self.own.get_or_init(Own::default)
    }

    pub(super) fn close(&self) {
        lock(&self.own().idle).clear();
    }

    /// A connection of `idle`, or a new one.
    fn take_connection(&self, idle: &Mutex<Vec<Connection>>) -> Connection {
        let mut idle = lock(idle);
        while let Some(connection) = idle.pop() {
            if !connection.state.is_interrupted() {
                return connection;
            }
        }
        drop(idle);
        let state = Arc::new(ConnectionState::default());
        let target = self.target.clone();
        let timeouts = self.options.timeouts;
        let sockets = SocketConnector {
            state: state.clone(),
            target: target.clone(),
            connect: timeouts.connect,
        };
        let connector = ().chain(ConnectProxyConnector::default());
        #[cfg(feature = "socks")]
        let connector = connector.chain(SocksConnector { sockets: sockets.clone() });
        let proxied = self.config.proxy().is_some();
        let connector = connector
            .chain(sockets)
            .chain(RustlsConnector::default())
            .chain(WatchConnector { state: state.clone(), proxied });
        let look_up = self.options.look_up.clone();
        let resolver = ConnectionResolver::new(state.clone(), target, timeouts.resolve, look_up);
        Connection { state, agent: Agent::with_parts(self.config.clone(), connector, resolver) }
    }

    fn return_to_pool(idle: &Mutex<Vec<Connection>>, connection: Connection) {
        let mut idle = lock(idle);
        if idle.len() < IDLE_CONNECTIONS_MAX && !connection.state.is_interrupted() {
            idle.push(connection);
        }
    }

    /// Sends one request and reads its reply. If the signature is refused because of the clock, sends it again once with
    /// the server's time.
    pub(super) fn ask(&self, ask: &Ask<'_>, control: &Control) -> Result<Answer, Fault> {
        let answer = self.ask_once(ask, control)?;
        if answer.status == 401 && self.adjust_clock_skew(&answer) {
            return self.ask_once(ask, control);
        }
        Ok(answer)
    }

    fn ask_once(&self, ask: &Ask<'_>, control: &Control) -> Result<Answer, Fault> {
        control.check().map_err(|error| Fault { error, sent: false })?;
        let Own { idle, keys } = self.own();
        let key = ask.once.map(|once| once.key(|| keys.next())).transpose();
        let key = key.map_err(|error| Fault { error, sent: false })?;
        let connection = self.take_connection(idle);
        let outcome = {
            let (interrupted, agent) = (connection.state.clone(), connection.agent.clone());
            let _guard = control.cancel.on_cancel(move || {
                interrupted.interrupt();
                agent.shutdown();
            });
            self.send(&connection, ask, key.as_deref(), control)
        };
        let sent = connection.state.was_sent();
        match outcome {
            Ok(answer) => {
                Self::return_to_pool(idle, connection);
                log::debug!("{} {} gave HTTP {}", ask.method, path_of(ask.target), answer.status);
                Ok(answer)
            }
            Err(error) => {
                let error = self.explain(error, sent, control);
                log::debug!("{} {} failed: {error}", ask.method, path_of(ask.target));
                Err(Fault { error, sent })
            }
        }
    }

    /// The headers that authenticate a request, and the timestamp of its signature.
    fn auth_headers(&self, ask: &Ask<'_>) -> (Vec<Masked>, Option<i64>) {
        let mut headers: Vec<Masked> = self.bearer.iter().cloned().collect();
        let Some(Credentials::Pair { secret, .. }) = &self.credentials else {
            return (headers, None);
        };
        let time = unix_now() + self.skew.load(Ordering::Relaxed);
        let path = format!("{}{}", self.prefix, path_of(ask.target));
        let signature = sign(secret, time, ask.method.as_str(), &path, ask.body);
        headers.push(Masked::new(SIGNATURE, signature));
        (headers, Some(time))
    }

    fn send(
        &self,
        connection: &Connection,
        ask: &Ask<'_>,
        key: Option<&str>,
        control: &Control,
    ) -> Result<Answer, ureq::Error> {
        let Connection { state, agent } = connection;
        let mut request =
            Request::builder().method(ask.method.clone()).uri([&self.base, ask.target].concat());
        // First, because `mask::reveal` searches for them when the request is sent.
        let (auth_headers, time) = self.auth_headers(ask);
        for (name, placeholder) in auth_headers.iter().map(Masked::header) {
            request = request.header(name, placeholder);
        }
        if let Some(time) = time {
            request = request.header(TIMESTAMP, time);
        }
        let accept = if ask.live.is_some() { EVENTS } else { JSON };
        request = request.header(header::ACCEPT, accept).header(COMPAT, LEAN);
        if let Some(id) = ask.live.and_then(Live::last_event_id) {
            request = request.header(LAST_EVENT_ID, id);
        }
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        state.begin(control.until, auth_headers, !ask.body.is_empty());
        let response = if ask.method == Method::POST {
            let request = request.header(header::CONTENT_TYPE, ask.content_type).body(ask.body);
            agent.run(self.timed(agent, ask, request.map_err(ureq::Error::Http)?))
        } else {
            agent.run(self.timed(agent, ask, request.body(()).map_err(ureq::Error::Http)?))
        };
        let response = response?;
        state.begin_body();
        match ask.live.filter(|_| is_event_stream(&response)) {
            Some(live) => self.read_events(response, live, control),
            None => self.read(response),
        }
    }

    /// The request with the time limit of a read that is right for its reply.
    fn timed<S: ureq::AsSendBody>(
        &self,
        agent: &Agent,
        ask: &Ask<'_>,
        request: Request<S>,
    ) -> Request<S> {
        if ask.live.is_none() {
            return request;
        }
        let limit = self.options.timeouts.read.map_or(SILENCE, |read| read.max(SILENCE));
        agent.configure_request(request).timeout_per_read(Some(limit)).build()
    }

    /// Reads a stream of events to its end, which is the answer: a job, or a refusal.
    fn read_events(
        &self,
        response: Response<Body>,
        live: &Live<'_>,
        control: &Control,
    ) -> Result<Answer, ureq::Error> {
        let (parts, mut body) = response.into_parts();
        let max = self.options.reply_max_bytes;
        let end = live.read(body.as_reader(), max, control).map_err(|fault| match fault {
            StreamFault::Io(error) => error.into(),
            StreamFault::Malformed(error) => ureq::Error::Other(Box::new(error)),
        })?;
        let (status, mut headers) = (parts.status.as_u16(), parts.headers);
        let (status, body) = match end {
            StreamEnd::Finished(job) => (status, job),
            StreamEnd::Refused(error, body) => {
                let pause = error.retry_after_ms().map(|ms| HeaderValue::from(ms.div_ceil(1000)));
                headers.extend(pause.map(|pause| (header::RETRY_AFTER, pause)));
                (error.http_status(), body)
            }
        };
        Ok(Answer { status, headers, body: body.into_bytes() })
    }

    fn read(&self, response: Response<Body>) -> Result<Answer, ureq::Error> {
        let (parts, mut body) = response.into_parts();
        // After decompression; the HTTP client's own limit counts compressed bytes.
        let limit = u64::try_from(self.options.reply_max_bytes).unwrap_or(u64::MAX);
        let announced = body.content_length().unwrap_or(0).min(limit).min(READ_AHEAD_MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        body.as_reader().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > self.options.reply_max_bytes {
            return Err(ureq::Error::BodyExceedsLimit(limit));
        }
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes })
    }

    /// Uses the server's clock for signatures if a reply says that ours is wrong; returns whether it changed.
    fn adjust_clock_skew(&self, answer: &Answer) -> bool {
        let signs = matches!(self.credentials, Some(Credentials::Pair { .. }));
        if !signs || !String::from_utf8_lossy(&answer.body).contains("timestamp") {
            return false;
        }
        let now = unix_now();
        let Some(theirs) = answer.header("Date").and_then(http_date) else { return false };
        let skew = theirs - now;
        // The same skew again would fail again.
        if (skew - self.skew.swap(skew, Ordering::Relaxed)).abs() < 2 {
            return false;
        }
        log::warn!(
            "the local clock and that of {} differ by {} s; requests are signed with the time of the server",
            self.endpoint,
            skew.unsigned_abs()
        );
        true
    }

    /// The typed error for an error of the HTTP client.
    fn explain(&self, error: ureq::Error, sent: bool, control: &Control) -> Error {
        if control.cancel.is_cancelled() {
            return cancelled(None);
        }
        if control.is_over() {
            return control.timeout();
        }
        let through = match self.config.proxy() {
            Some(proxy) => format!(" through the proxy {}", proxy::shown(proxy)),
            None => String::new(),
        };
        let endpoint = &format!("{}{through}", self.endpoint);
        let connect = |what: &str| Error::new(ErrorCode::Connect, format!("{endpoint} {what}"));
        let protocol = |what: &str| Error::new(ErrorCode::Protocol, format!("{endpoint} {what}"));
        match error {
            ureq::Error::BodyExceedsLimit(_) => {
                let max = self.options.reply_max_bytes;
                let message = format!("the reply is larger than the limit of {max} bytes");
                Error::new(ErrorCode::TooLarge, message)
            }
            ureq::Error::Timeout(step) => self.slow(step, endpoint),
            ureq::Error::HostNotFound => connect("was not found"),
            ureq::Error::Other(cause) if cause.is::<LookupFailed>() => {
                connect("was not found").with_cause(cause)
            }
            ureq::Error::Other(cause) if cause.is::<Error>() => {
                let error = cause.downcast::<Error>().expect("its type was just seen");
                Error::new(error.code(), format!("{endpoint}: {}", error.message()))
            }
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => {
                tls_error(endpoint, error)
            }
            // Errors of the handshake are wrapped in I/O errors.
            ureq::Error::Io(cause) if !sent && cause.kind() == io::ErrorKind::InvalidData => {
                tls_error(endpoint, cause)
            }
            ureq::Error::Io(cause) if sent => {
                let message =
                    format!("the connection to {endpoint} broke before the reply was complete");
                Error::new(ErrorCode::Connect, message).with_cause(cause)
            }
            ureq::Error::Io(cause) => connect("could not be reached").with_cause(cause),
            ureq::Error::ConnectProxyFailed(why) => connect("could not be reached").with_cause(why),
            ureq::Error::InvalidProxyUrl | ureq::Error::ConnectionFailed => {
                connect("could not be reached").with_cause(error)
            }
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
                let message = format!("cannot build a request for endpoint {endpoint}");
                Error::new(ErrorCode::Config, message).with_cause(error)
            }
            other => protocol("sent a response that is not HTTP").with_cause(other),
        }
    }

    /// The error for a step that exceeded its time limit.
    fn slow(&self, step: Timeout, endpoint: &str) -> Error {
        let timeouts = self.options.timeouts;
        let (code, what, limit) = match step {
            Timeout::Resolve => {
                let seconds = timeouts.resolve.as_secs_f64();
                let text = format!("the name of {endpoint} was not resolved within {seconds} s");
                return Error::new(ErrorCode::Connect, text);
            }
            Timeout::SendRequest | Timeout::SendBody => {
                (ErrorCode::Timeout, "did not take the request", timeouts.send)
            }
            Timeout::RecvResponse => (ErrorCode::Timeout, "did not answer", timeouts.first_byte),
            Timeout::PerRead => (ErrorCode::Timeout, "sent no more of its reply", timeouts.read),
            _ => (ErrorCode::Connect, "did not connect", Some(timeouts.connect)),
        };
        let seconds = limit.unwrap_or_default().as_secs_f64();
        Error::new(code, format!("{endpoint} {what} within {seconds} s"))
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("endpoint", &self.endpoint)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

fn is_event_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status() == 200 && kind.is_some_and(|kind| kind.starts_with(wire::EVENT_STREAM))
}

fn bearer(credentials: &Credentials) -> Masked {
    Masked::new(header::AUTHORIZATION, format!("Bearer {}", credentials.bearer()))
}

fn tls_error(endpoint: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Tls, format!("the TLS handshake with {endpoint} failed"))
        .with_cause(cause)
}

/// A target without its query string, which may contain private data.
pub(super) fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
