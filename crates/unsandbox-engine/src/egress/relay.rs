// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies bytes between a client and a server until both have closed, the connection was idle too long, or the run has
//! ended.

use super::conn::Conn;
use super::session::{ConnectionEnd, Session};
use super::{HALF_OPEN_TIME, IDLE_TIME};
use rustix::event::PollFlags;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

/// How much a client may send to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sending {
    /// Any number of bytes: a tunnel.
    Everything,
    /// The body of one request. Later bytes would be the next request, which may be for another server, so they are
    /// dropped.
    Body(u64),
}

const BUFFER_BYTES: usize = 32 * 1024;

/// One direction.
struct Flow {
    buffer: Vec<u8>,
    /// The bytes from here to `len` are not sent yet.
    start: usize,
    len: usize,
    budget: Option<u64>,
    /// The sender has closed its side.
    ended: bool,
    /// The receiver's side has been closed.
    closed: bool,
}

impl Flow {
    /// A flow that begins with `head`, which the gateway has made, and the part of `unread` within the budget.
    fn new(mut head: Vec<u8>, unread: Vec<u8>, sending: Sending) -> Flow {
        let budget = match sending {
            Sending::Everything => None,
            Sending::Body(len) => Some(len),
        };
        let len = unread.len();
        let mut flow = Flow { buffer: unread, start: 0, len, budget, ended: false, closed: false };
        flow.keep_to_budget();
        head.extend_from_slice(&flow.buffer[..flow.len]);
        flow.len = head.len();
        head.resize(head.len().max(BUFFER_BYTES), 0);
        flow.buffer = head;
        flow
    }

    fn is_empty(&self) -> bool {
        self.start == self.len
    }

    fn wants_to_read(&self) -> bool {
        self.is_empty() && !self.ended
    }

    fn keep_to_budget(&mut self) {
        if let Some(budget) = &mut self.budget {
            self.len = self.len.min(usize::try_from(*budget).unwrap_or(usize::MAX));
            *budget -= self.len as u64;
        }
    }

    /// Returns whether bytes were moved.
    fn read(&mut self, session: &Session, from: &mut TcpStream) -> Result<bool, ConnectionEnd> {
        match from.read(&mut self.buffer) {
            Ok(0) => self.ended = true,
            Ok(len) => {
                session.count(len)?;
                (self.start, self.len) = (0, len);
                self.keep_to_budget();
            }
            Err(error) if is_transient(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn write(&mut self, to: &mut TcpStream) -> Result<bool, ConnectionEnd> {
        match to.write(&self.buffer[self.start..self.len]) {
            Ok(len) => self.start += len,
            Err(error) if is_transient(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Reads and writes as far as possible without blocking.
    fn step(
        &mut self,
        session: &Session,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Result<bool, ConnectionEnd> {
        let mut moved = false;
        if self.wants_to_read() {
            moved |= self.read(session, from)?;
        }
        if !self.is_empty() {
            moved |= self.write(to)?;
        }
        if self.ended && self.is_empty() && !self.closed {
            self.closed = true;
            to.shutdown(Shutdown::Write)?;
        }
        Ok(moved)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Sends `head` to the server, then copies until the end. Both connections are then shut down, which also affects forked
/// copies of the host.
pub fn relay(
    client: Conn<'_>,
    mut server: TcpStream,
    head: Vec<u8>,
    sending: Sending,
) -> Result<(), ConnectionEnd> {
    let Conn { session, stream: mut client, unread, .. } = client;
    let up = Flow::new(head, unread, sending);
    let down = Flow::new(Vec::new(), Vec::new(), Sending::Everything);
    let end = carry(session, &mut client, &mut server, up, down, sending);
    for stream in [&client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    end
}

fn carry(
    session: &Session,
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut up: Flow,
    mut down: Flow,
    sending: Sending,
) -> Result<(), ConnectionEnd> {
    let mut last_move = Instant::now();
    loop {
        let moved_up = up.step(session, client, server)?;
        let moved_down = down.step(session, server, client)?;
        let is_answered = down.closed && sending != Sending::Everything;
        if is_answered || (up.closed && down.closed) {
            return Ok(());
        }
        // Needed if both sides always have data, because `wait` is not called then.
        if session.is_over() {
            return Err(ConnectionEnd::RunEnded);
        }
        if moved_up || moved_down {
            last_move = Instant::now();
            continue;
        }
        let interest = |reader: &Flow, writer: &Flow| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reader.wants_to_read());
            flags.set(PollFlags::OUT, !writer.is_empty());
            flags
        };
        // Once the server has closed, a client that does not close only occupies a place.
        let timeout = if down.closed { HALF_OPEN_TIME } else { IDLE_TIME };
        let wanted =
            [(client.as_fd(), interest(&up, &down)), (server.as_fd(), interest(&down, &up))];
        session.wait(wanted, Some(last_move + timeout))?;
    }
}
