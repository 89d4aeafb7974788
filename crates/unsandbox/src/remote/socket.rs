// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections for the HTTP client: TCP and Unix sockets that obey a [`Line`]. The client's own TCP
//! connector cannot be interrupted while it looks up a name or connects, and knows no Unix sockets.

use super::line::Line;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as MaybeDuration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same call on whichever socket it is.
macro_rules! on {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
        }
    };
}

impl Stream {
    pub(super) fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = on!(self, socket => socket.shutdown(Shutdown::Both));
    }

    /// Whether the server neither closed it nor sent what nobody asked for.
    fn is_open(&self) -> io::Result<bool> {
        on!(self, socket => socket.set_nonblocking(true))?;
        let probe = on!(self, socket => (&mut &*socket).read(&mut [0]));
        on!(self, socket => socket.set_nonblocking(false))?;
        Ok(probe.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock))
    }
}

/// Where sockets go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The host of the URL.
    Host,
    #[cfg_attr(not(unix), allow(dead_code))]
    Path(PathBuf),
}

/// Opens the socket, unless an earlier connector (a proxy's) has.
#[derive(Debug)]
pub(super) struct SocketConnector {
    pub(super) line: Arc<Line>,
    pub(super) target: Target,
    pub(super) connect: Duration,
}

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let stream = match &self.target {
            Target::Host => self.connect_tcp(details.addrs.to_vec()),
            Target::Path(path) => self.connect_unix(path.clone()),
        };
        let stream = Arc::new(stream.map_err(|error| as_timeout(error, Timeout::Connect))?);
        self.line.register(&stream)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Socket { stream, line: self.line.clone(), buffers })))
    }
}

impl SocketConnector {
    fn connect_tcp(&self, addresses: Vec<SocketAddr>) -> io::Result<Stream> {
        let limit = self.line.left(Some(self.connect))?.unwrap_or(self.connect);
        let stream = if addresses.iter().all(|address| address.ip().is_loopback()) {
            // This machine answers at once, one way or the other.
            first_of(&addresses, limit)
        } else {
            self.line.detached(limit, move || first_of(&addresses, limit))?
        }?;
        stream.set_nodelay(true)?;
        Ok(Stream::Tcp(stream))
    }

    #[cfg(unix)]
    fn connect_unix(&self, path: PathBuf) -> io::Result<Stream> {
        // A full backlog blocks the connect.
        self.line.detached(self.connect, move || UnixStream::connect(path))?.map(Stream::Unix)
    }

    #[cfg(not(unix))]
    fn connect_unix(&self, _: PathBuf) -> io::Result<Stream> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
    }
}

/// Tries one address after the other; a dead one leaves the rest half of the time that is left.
fn first_of(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + limit;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = if index + 1 == addresses.len() { left } else { left / 2 };
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(10))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn as_timeout(error: io::Error, which: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(which),
        _ => Error::Io(error),
    }
}

/// A socket that ends with its line's deadline or interrupt.
pub(super) struct Socket {
    stream: Arc<Stream>,
    line: Arc<Line>,
    buffers: LazyBuffers,
}

impl Socket {
    fn limit(&self, timeout: NextTimeout) -> Result<Option<Duration>, Error> {
        let own = match timeout.after {
            MaybeDuration::Exact(after) => Some(after),
            MaybeDuration::NotHappening => None,
        };
        let left = self.line.left(own).map_err(|error| as_timeout(error, timeout.reason))?;
        // Zero would mean no limit at all.
        Ok(left.map(|left| left.max(Duration::from_micros(1))))
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = 0..amount;
        while !rest.is_empty() {
            let limit = self.limit(timeout)?;
            on!(&*self.stream, socket => socket.set_write_timeout(limit))?;
            let output = &self.buffers.output()[rest.clone()];
            match on!(&*self.stream, socket => (&mut &*socket).write(output)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => rest.start += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(as_timeout(error, timeout.reason)),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            let limit = self.limit(timeout)?;
            on!(&*self.stream, socket => socket.set_read_timeout(limit))?;
            let input = self.buffers.input_append_buf();
            match on!(&*self.stream, socket => (&mut &*socket).read(input)) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(as_timeout(error, timeout.reason)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open().unwrap_or(false)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Stands last in the chain, above TLS, and notes on the line that bytes of a request leave.
#[derive(Debug)]
pub(super) struct WatchConnector {
    pub(super) line: Arc<Line>,
}

impl<In: Transport> Connector<In> for WatchConnector {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Watched { inner, line: self.line.clone() }))
    }
}

#[derive(Debug)]
pub(super) struct Watched<In> {
    inner: In,
    line: Arc<Line>,
}

impl<In: Transport> Transport for Watched<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.line.mark_sent();
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// How long an address is kept. The HTTP client asks before every request, also when it has a
/// connection already.
const ADDRESS_LIFE: Duration = Duration::from_secs(30);

/// Looks names up on a thread that can be left behind.
#[derive(Debug)]
pub(super) struct LineResolver {
    line: Arc<Line>,
    target: Target,
    limit: Duration,
    found: Mutex<Option<(String, Instant, ResolvedSocketAddrs)>>,
}

impl LineResolver {
    pub(super) fn new(line: Arc<Line>, target: Target, limit: Duration) -> Self {
        LineResolver { line, target, limit, found: Mutex::new(None) }
    }

    fn look_up(&self, uri: &Uri, config: &Config) -> Result<ResolvedSocketAddrs, Error> {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let found = self.found.lock().expect("no panic under this lock").clone();
        if let Some((known, when, addresses)) = found
            && known == authority
            && when.elapsed() < ADDRESS_LIFE
        {
            return Ok(addresses);
        }
        let (lookup_uri, config) = (uri.clone(), config.clone());
        let unlimited = NextTimeout::default();
        let lookup = move || DefaultResolver::default().resolve(&lookup_uri, &config, unlimited);
        let addresses = self
            .line
            .detached(self.limit, lookup)
            .map_err(|error| as_timeout(error, Timeout::Resolve))?
            // The lookup's own words ("Name or service not known") are kept.
            .map_err(|error| match error {
                Error::Io(error) => Error::Other(Box::new(LookupFailed(error))),
                other => other,
            })?;
        let mut found = self.found.lock().expect("no panic under this lock");
        *found = Some((authority, Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for LineResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match &self.target {
            Target::Path(_) => {
                // Never connected to, but the HTTP client wants an address.
                let mut none = self.empty();
                none.push(SocketAddr::from(([127, 0, 0, 1], 0)));
                Ok(none)
            }
            Target::Host if host.parse::<IpAddr>().is_ok() => {
                DefaultResolver::default().resolve(uri, config, NextTimeout::default())
            }
            Target::Host => self.look_up(uri, config),
        }
    }
}

/// A name that was not found, told apart from a connection that failed.
#[derive(Debug)]
pub(super) struct LookupFailed(io::Error);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LookupFailed {}
