// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections for the HTTP client: TCP and Unix sockets that obey a [`Line`]. The client's own TCP
//! connector cannot be interrupted while it looks up a name or connects, and knows no Unix sockets.

use super::line::Line;
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

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // An error means that it is closed already.
        let _ = on!(self, socket => socket.shutdown(Shutdown::Both));
    }
}

impl Stream {
    /// Whether the server neither closed it nor sent what nobody asked for.
    #[cfg(unix)]
    fn is_open(&self) -> io::Result<bool> {
        use rustix::net::{RecvFlags, recv};
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = on!(self, socket => recv(socket, &mut [0u8; 1], look));
        Ok(seen.is_err_and(|error| error == rustix::io::Errno::WOULDBLOCK))
    }

    /// As above, where a single look that does not wait is not available.
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
        self.open(&details.addrs, details).map(|socket| Some(Either::B(socket)))
    }
}

impl SocketConnector {
    /// Opens a socket to the first of `addresses` that answers, which ends with the HTTP client.
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
        let line = self.line.clone();
        Ok(Socket { stream, line, buffers, each_read, read_limit: None, write_limit: None })
    }

    fn connect_tcp(&self, addresses: Vec<SocketAddr>) -> io::Result<Stream> {
        let limit = self.line.left(Some(self.connect))?.unwrap_or(self.connect);
        if let [address] = addresses[..]
            && address.ip().is_loopback()
        {
            // This machine answers at once, one way or the other, unless its queue is full.
            match TcpStream::connect_timeout(&address, limit.min(AT_ONCE)) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                answered => return with_nodelay(answered?),
            }
        }
        with_nodelay(self.line.detached(limit, move || race(&addresses, limit))??)
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

fn as_handle(stream: &Arc<Stream>) -> Weak<dyn ShutdownHandle> {
    let stream: Weak<Stream> = Arc::downgrade(stream);
    stream
}

fn with_nodelay(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// How long a connection on this machine is waited for without a thread.
const AT_ONCE: Duration = Duration::from_millis(20);
/// How long an address may be silent before the next one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Tries the addresses in their order, each with a head start; the first that answers wins.
fn race(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + limit;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let (tell, told) = mpsc::channel();
    let (mut waiting, mut under_way) = (addresses.iter(), 0);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if let Some(address) = waiting.next().copied() {
            let tell = tell.clone();
            std::thread::Builder::new().name("unsandbox-connect".to_string()).spawn(move || {
                // Nobody listens once another address has won.
                let _ = tell.send(TcpStream::connect_timeout(&address, left));
            })?;
            under_way += 1;
        } else if under_way == 0 {
            return Err(last);
        }
        let patience = if waiting.len() > 0 { left.min(HEAD_START) } else { left };
        match told.recv_timeout(patience) {
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

/// A socket that ends with its line's deadline or interrupt.
pub(super) struct Socket {
    stream: Arc<Stream>,
    line: Arc<Line>,
    buffers: LazyBuffers,
    each_read: Option<Duration>,
    /// What the kernel was told of how long a read and a write may block.
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

/// When a step is over that ureq bounds.
fn end_of(timeout: NextTimeout) -> Option<Instant> {
    match timeout.after {
        MaybeDuration::Exact(after) => Instant::now().checked_add(after),
        MaybeDuration::NotHappening => None,
    }
}

impl Socket {
    /// What a step may still take that is over at `until`.
    fn left(&self, until: Option<Instant>, reason: Timeout) -> Result<Option<Duration>, Error> {
        let own = until.map(|until| until.saturating_duration_since(Instant::now()));
        if own.is_some_and(|own| own.is_zero()) {
            return Err(Error::Timeout(reason));
        }
        self.line.left(own).map_err(|error| as_timeout(error, reason))
    }

    /// Tells the kernel only what it has to know anew: a shorter limit than is left merely lets a step look
    /// at its time again, and is put right then.
    fn limit_reads(&mut self, left: Option<Duration>, woken: bool) -> io::Result<()> {
        if woken || must_be_told(self.read_limit, left) {
            on!(&*self.stream, socket => socket.set_read_timeout(left))?;
            self.read_limit = left;
        }
        Ok(())
    }

    fn limit_writes(&mut self, left: Option<Duration>, woken: bool) -> io::Result<()> {
        if woken || must_be_told(self.write_limit, left) {
            on!(&*self.stream, socket => socket.set_write_timeout(left))?;
            self.write_limit = left;
        }
        Ok(())
    }
}

fn must_be_told(told: Option<Duration>, left: Option<Duration>) -> bool {
    match (told, left) {
        (_, None) => told.is_some(),
        (None, Some(_)) => true,
        (Some(told), Some(left)) => told > left,
    }
}

/// Whether a call came back because the kernel's limit for it was over.
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
        // Each read of a body has a limit of its own; the wait for the reply's head has another one.
        let timeout = match self.each_read.map(MaybeDuration::Exact) {
            Some(each) if self.line.is_in_body() && each < timeout.after => {
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
        // At the end of a reply it goes to where idle connections wait, and is looked at when it is taken from
        // there.
        self.line.is_in_body() || self.stream.is_open().unwrap_or(false)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Stands last in the chain, above TLS: notes on the line that bytes of a request leave, and puts the keys
/// into them.
#[derive(Debug)]
pub(super) struct WatchConnector {
    pub(super) line: Arc<Line>,
    /// What is said to a proxy to get through it is not a request yet.
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
        let line = (!to_proxy).then(|| self.line.clone());
        Ok(chained.map(|inner| Watched { inner, line, head: Vec::new() }))
    }
}

#[derive(Debug)]
pub(super) struct Watched<In> {
    inner: In,
    line: Option<Arc<Line>>,
    /// The head of a request, which waits for its body: together they are one packet, and one call of the
    /// kernel.
    head: Vec<u8>,
}

impl<In: Transport> Watched<In> {
    /// Puts the head that waits before the `amount` bytes of body; how much there is to send then. A body
    /// that leaves no room has its head sent ahead.
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

    /// Lets the first `amount` bytes of the output leave, with the keys that belong into them.
    fn send(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(line) = &self.line else { return self.inner.transmit_output(amount, timeout) };
        line.mark_sent();
        let mut masked = line.take_masked();
        if masked.is_empty() {
            return self.inner.transmit_output(amount, timeout);
        }
        let places = mask::reveal(&mut self.inner.buffers().output()[..amount], &mut masked);
        line.put_masked(masked);
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
        if self.line.as_ref().is_some_and(|line| line.take_body_follows()) {
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
