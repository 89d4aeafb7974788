// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connects to the host that a client has named. The name is checked and resolved once, and only addresses that pass the
//! check are connected to. A name is never resolved a second time, so a DNS answer that changes has no effect.

use super::address::is_own;
use super::lookup::{LookupError, lookup};
use super::session::{ConnectionEnd, Session};
use super::{CONNECT_TIME, LOOKUP_TIME};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;
use unsandbox_protocol::net::address;
use unsandbox_protocol::net::host::Host;
use unsandbox_protocol::rules::shown;

/// Why there is no connection.
pub enum DialError {
    /// Refused by the rules; reported in the run's result.
    Refused(String),
    NotFound(String),
    Unreachable(String),
    Busy,
    Ended(ConnectionEnd),
}

/// Connects to a host as the client spelled it.
pub fn dial(session: &Session, host: &[u8], port: u16) -> Result<(Host, TcpStream), DialError> {
    let refuse = |target: &str, reason: &str| {
        session.refuse(target, reason);
        DialError::Refused(format!("egress refused: {target} ({reason})"))
    };
    let host = Host::parse(host)
        .map_err(|why| refuse(&format!("{}:{port}", shown(&String::from_utf8_lossy(host))), why))?;
    let target = format!("{host}:{port}");
    if let Some(why) = session.egress.allow.refusal(&host) {
        return Err(refuse(&target, why));
    }
    let found = match &host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => resolve(session, name)?,
    };
    let mut allowed = Vec::new();
    let mut reason = String::new();
    for address in found {
        let address = address.to_canonical();
        match refusal(session, SocketAddr::new(address, port)) {
            None => allowed.push(SocketAddr::new(address, port)),
            Some(why) if matches!(host, Host::Address(_)) => reason = why.to_string(),
            Some(why) => reason = format!("{address} is {why}"),
        }
    }
    if allowed.is_empty() {
        return Err(refuse(&target, &reason));
    }
    connect_to_one(session, &allowed).map(|stream| (host, stream))
}

fn resolve(session: &Session, name: &str) -> Result<Vec<IpAddr>, DialError> {
    lookup(session, name, Instant::now() + LOOKUP_TIME).map_err(|error| match error {
        LookupError::NotFound(why) => DialError::NotFound(format!("{name} was not found: {why}")),
        LookupError::Busy => DialError::Busy,
        LookupError::Ended(ConnectionEnd::TimedOut) => DialError::NotFound(format!(
            "{name} was not found: the resolver did not answer in time"
        )),
        LookupError::Ended(end) => DialError::Ended(end),
    })
}

fn refusal(session: &Session, address: SocketAddr) -> Option<&'static str> {
    if session.egress.options.open_loopback == Some(address) {
        return None;
    }
    address::refusal(address.ip())
        .or_else(|| is_own(address.ip()).then_some("an address of this machine"))
}

/// Connects to the first of `addresses` that answers; each has its share of the time.
fn connect_to_one(session: &Session, addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let deadline = Instant::now() + CONNECT_TIME;
    let mut words = String::new();
    for (index, address) in addresses.iter().enumerate() {
        let left = (addresses.len() - index) as u32;
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match connect_to(session, *address, Instant::now() + share) {
            Ok(stream) => return Ok(stream),
            Err(ConnectionEnd::RunEnded) => return Err(DialError::Ended(ConnectionEnd::RunEnded)),
            Err(ConnectionEnd::TimedOut) => words = format!("{address} did not answer in time"),
            Err(ConnectionEnd::Failed(error)) => words = format!("{address}: {error}"),
        }
    }
    Err(DialError::Unreachable(words))
}

fn connect_to(
    session: &Session,
    address: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, ConnectionEnd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => {
            session.wait([(socket.as_fd(), PollFlags::OUT)], Some(deadline))?;
            let outcome = sockopt::socket_error(&socket).map_err(io::Error::from)?;
            outcome.map_err(io::Error::from)?;
        }
        Err(error) => return Err(io::Error::from(error).into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
