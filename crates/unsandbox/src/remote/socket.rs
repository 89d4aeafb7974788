// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections for the HTTP client: TCP and Unix sockets that end with their [`ConnectionState`]. The client's own TCP
//! connector cannot be interrupted while it resolves a name or connects, and does not support Unix sockets.

use super::connection_state::ConnectionState;
use super::mask;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};
use ureq::unversioned::transport::time::Duration as MaybeDuration;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle,
    Transport,
};
use ureq::{Error, Timeout};

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The same call on either kind of socket.
macro_rules! on {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
        }
    };
}

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = on!(self, socket => socket.shutdown(Shutdown::Both));
    }
}

impl Stream {
    /// Whether the server has neither closed it nor sent unexpected bytes.
    #[cfg(unix)]
    fn is_open(&self) -> io::Result<bool> {
        use rustix::net::{RecvFlags, recv};
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = on!(self, socket => recv(socket, &mut [0u8; 1], look));
        Ok(seen.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK))
    }

    /// As above, for systems without a read that neither waits nor consumes.
    #[cfg(not(unix))]
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
#[derive(Clone, Debug)]
pub(super) struct SocketConnector {
    pub(super) state: Arc<ConnectionState>,
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
        self.open(&details.addrs, details).map(|socket| Some(Either::B(socket)))
    }
}

impl SocketConnector {
    /// Opens a socket to the first of `addresses` that answers. The HTTP client can shut it down.
    pub(super) fn open(
        &self,
        addresses: &[SocketAddr],
        details: &ConnectionDetails,
    ) -> Result<Socket, Error> {
        let stream = match &self.target {
            Target::Host => self.connect_tcp(addresses.to_vec()),
            Target::Path(path) => self.connect_unix(path.clone()),
        };
        let stream = Arc::new(stream.map_err(|error| as_timeout(error, Timeout::Connect))?);
        (details.register_shutdown)(as_handle(&stream))?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let each_read = config.timeout_per_read();
        let state = self.state.clone();
        Ok(Socket { stream, state, buffers, each_read, read_limit: None, write_limit: None })
    }

    fn connect_tcp(&self, addresses: Vec<SocketAddr>) -> io::Result<Stream> {
        let limit = self.state.left(Some(self.connect))?.unwrap_or(self.connect);
        if let [address] = addresses[..]
            && address.ip().is_loopback()
        {
            // This machine accepts or refuses at once, unless its queue is full.
            match TcpStream::connect_timeout(&address, limit.min(AT_ONCE)) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                answered => return with_nodelay(answered?),
            }
        }
        with_nodelay(self.state.run_detached(limit, move || race(&addresses, limit))??)
    }

    #[cfg(unix)]
    fn connect_unix(&self, path: PathBuf) -> io::Result<Stream> {
        // A full backlog blocks the connect.
        self.state.run_detached(self.connect, move || UnixStream::connect(path))?.map(Stream::Unix)
    }

    #[cfg(not(unix))]
    fn connect_unix(&self, _: PathBuf) -> io::Result<Stream> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
    }
}

fn as_handle(stream: &Arc<Stream>) -> Weak<dyn ShutdownHandle> {
    let stream: Weak<Stream> = Arc::downgrade(stream);
    stream
}

fn with_nodelay(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// How long to wait for a connection on this machine without a thread.
const AT_ONCE: Duration = Duration::from_millis(20);
/// How long an address may take before the next one is tried in parallel (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Tries the addresses in their order, each with a head start; the first that answers wins.
fn race(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + limit;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let (sender, receiver) = mpsc::channel();
    let (mut waiting, mut under_way) = (addresses.iter(), 0);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(address) = waiting.next().copied() {
            let sender = sender.clone();
            std::thread::Builder::new().name("unsandbox-connect".to_string()).spawn(move || {
                // The receiver is gone once another address has won.
                let _ = sender.send(TcpStream::connect_timeout(&address, left));
            })?;
            under_way += 1;
        } else if under_way == 0 {
            return Err(last);
        }
        let wait = if waiting.len() > 0 { left.min(HEAD_START) } else { left };
        match receiver.recv_timeout(wait) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                last = error;
                under_way -= 1;
            }
            Err(_) => {}
        }
    }
}

pub(super) fn as_timeout(error: io::Error, which: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(which),
        _ => Error::Io(error),
    }
}

/// A socket that ends at the deadline or interrupt of its connection.
pub(super) struct Socket {
    stream: Arc<Stream>,
    state: Arc<ConnectionState>,
    buffers: LazyBuffers,
    each_read: Option<Duration>,
    /// The time limits of reads and writes that are set on the socket.
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

/// The end of a step that ureq limits.
fn end_of(timeout: NextTimeout) -> Option<Instant> {
    match timeout.after {
        MaybeDuration::Exact(after) => Instant::now().checked_add(after),
        MaybeDuration::NotHappening => None,
    }
}

impl Socket {
    /// The time left for a step that has to end at `until`.
    fn left(&self, until: Option<Instant>, reason: Timeout) -> Result<Option<Duration>, Error> {
        let own = until.map(|until| until.saturating_duration_since(Instant::now()));
        if own.is_some_and(|own| own.is_zero()) {
            return Err(Error::Timeout(reason));
        }
        self.state.left(own).map_err(|error| as_timeout(error, reason))
    }

    /// Sets the socket's limit only where necessary. A limit that is shorter than the time left only makes the step
    /// check its time again, and is corrected then.
    fn limit_reads(&mut self, left: Option<Duration>, woken: bool) -> io::Result<()> {
        if woken || needs_timeout_update(self.read_limit, left) {
            on!(&*self.stream, socket => socket.set_read_timeout(left))?;
            self.read_limit = left;
        }
        Ok(())
    }

    fn limit_writes(&mut self, left: Option<Duration>, woken: bool) -> io::Result<()> {
        if woken || needs_timeout_update(self.write_limit, left) {
            on!(&*self.stream, socket => socket.set_write_timeout(left))?;
            self.write_limit = left;
        }
        Ok(())
    }
}

fn needs_timeout_update(set: Option<Duration>, left: Option<Duration>) -> bool {
    match (set, left) {
        (_, None) => set.is_some(),
        (None, Some(_)) => true,
        (Some(set), Some(left)) => set > left,
    }
}

/// Whether a call returned because the socket's limit was over.
fn is_wake(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let (until, mut rest, mut woken) = (end_of(timeout), 0..amount, false);
        while !rest.is_empty() {
            let left = self.left(until, timeout.reason)?;
            self.limit_writes(left, woken)?;
            let output = &self.buffers.output()[rest.clone()];
            match on!(&*self.stream, socket => (&mut &*socket).write(output)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => rest.start += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_wake(&error) => woken = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // Each read of a body has one limit, and the wait for the reply's head another.
        let timeout = match self.each_read.map(MaybeDuration::Exact) {
            Some(each) if self.state.is_in_body() && each < timeout.after => {
                NextTimeout { after: each, reason: Timeout::PerRead, ..timeout }
            }
            _ => timeout,
        };
        let (until, mut woken) = (end_of(timeout), false);
        loop {
            let left = self.left(until, timeout.reason)?;
            self.limit_reads(left, woken)?;
            let input = self.buffers.input_append_buf();
            match on!(&*self.stream, socket => (&mut &*socket).read(input)) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_wake(&error) => woken = true,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // At the end of a reply no check is needed: the connection becomes idle, and is checked before its next use.
        self.state.is_in_body() || self.stream.is_open().unwrap_or(false)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The last connector of the chain, above TLS: records in the state that bytes of a request are sent, and puts the keys
/// into them.
#[derive(Debug)]
pub(super) struct WatchConnector {
    pub(super) state: Arc<ConnectionState>,
    /// Whether there is a proxy; the exchange with it is not yet a request to the server.
    pub(super) proxied: bool,
}

impl<In: Transport> Connector<In> for WatchConnector {
    type Out = Watched<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let to_proxy = self.proxied && details.config.proxy().is_none();
        let state = (!to_proxy).then(|| self.state.clone());
        Ok(chained.map(|inner| Watched { inner, state, head: Vec::new() }))
    }
}

#[derive(Debug)]
pub(super) struct Watched<In> {
    inner: In,
    state: Option<Arc<ConnectionState>>,
    /// The head of a request, which waits for its body, so that both are sent in one packet and one system call.
    head: Vec<u8>,
}

impl<In: Transport> Watched<In> {
    /// Puts the waiting head before the `amount` bytes of body, and returns the number of bytes to send. If there is not
    /// enough room, the head is sent first.
    fn with_head(&mut self, amount: usize, timeout: NextTimeout) -> Result<usize, Error> {
        let head = std::mem::take(&mut self.head);
        let output = self.inner.buffers().output();
        if head.len() + amount <= output.len() {
            output.copy_within(..amount, head.len());
            output[..head.len()].copy_from_slice(&head);
            return Ok(head.len() + amount);
        }
        let body = output[..amount].to_vec();
        output[..head.len()].copy_from_slice(&head);
        self.send(head.len(), timeout)?;
        self.inner.buffers().output()[..amount].copy_from_slice(&body);
        Ok(amount)
    }

    /// Sends the first `amount` bytes of the output, with the keys in place of their placeholders.
    fn send(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(state) = &self.state else { return self.inner.transmit_output(amount, timeout) };
        state.mark_sent();
        let mut masked = state.take_masked();
        if masked.is_empty() {
            return self.inner.transmit_output(amount, timeout);
        }
        let places = mask::reveal(&mut self.inner.buffers().output()[..amount], &mut masked);
        state.put_masked(masked);
        let outcome = self.inner.transmit_output(amount, timeout);
        mask::hide(self.inner.buffers().output(), &places);
        outcome
    }
}

impl<In: Transport> Transport for Watched<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.state.as_ref().is_some_and(|state| state.take_body_follows()) {
            let head = &self.inner.buffers().output()[..amount];
            self.head = head.to_vec();
            return Ok(());
        }
        let amount = match self.head.is_empty() {
            true => amount,
            false => self.with_head(amount, timeout)?,
        };
        self.send(amount, timeout)
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
