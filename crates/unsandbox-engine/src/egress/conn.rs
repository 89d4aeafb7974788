// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's connection while its request is read. All reads have the same deadline, so a client that sends a byte a
//! second has no more time than one that sends nothing.

use super::session::{ConnectionEnd, Session};
use rustix::event::PollFlags;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub struct Conn<'a> {
    pub session: &'a Session,
    pub stream: TcpStream,
    /// Bytes that were received and not used yet.
    pub unread: Vec<u8>,
    deadline: Instant,
}

/// How much and how long is read from a refused client, so that it receives the answer.
const DRAIN_MAX_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

impl<'a> Conn<'a> {
    pub fn new(session: &'a Session, stream: TcpStream, timeout: Duration) -> io::Result<Conn<'a>> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Conn { session, stream, unread: Vec::new(), deadline: Instant::now() + timeout })
    }

    /// Reads more; 0 at the end.
    fn fill(&mut self) -> Result<usize, ConnectionEnd> {
        let mut buffer = [0u8; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(len) => {
                    self.session.count(len)?;
                    self.unread.extend_from_slice(&buffer[..len]);
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wanted = [(self.stream.as_fd(), PollFlags::IN)];
                    self.session.wait(wanted, Some(self.deadline))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Exactly `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<Vec<u8>, ConnectionEnd> {
        while self.unread.len() < len {
            if self.fill()? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let rest = self.unread.split_off(len);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// Everything up to and with `end`; `None` if that is not among the first `max` bytes.
    pub fn take_until(&mut self, end: &[u8], max: usize) -> Result<Option<Vec<u8>>, ConnectionEnd> {
        let mut seen = 0;
        loop {
            let from = seen;
            let found = self.unread[from..].windows(end.len()).position(|part| part == end);
            if let Some(at) = found.map(|at| from + at + end.len()).filter(|at| *at <= max) {
                return self.take(at).map(Some);
            }
            if self.unread.len() >= max {
                return Ok(None);
            }
            seen = self.unread.len().saturating_sub(end.len() - 1);
            if self.fill()? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    pub fn send(&mut self, mut bytes: &[u8]) -> Result<(), ConnectionEnd> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let wanted = [(self.stream.as_fd(), PollFlags::OUT)];
                    self.session.wait(wanted, Some(self.deadline))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends the last answer to a client. A reset would discard the answer while the client is still sending, so its
    /// bytes are read for a while.
    pub fn finish(mut self, words: &[u8]) -> Result<(), ConnectionEnd> {
        self.deadline = Instant::now() + DRAIN_TIME;
        self.send(words)?;
        self.stream.shutdown(Shutdown::Write)?;
        let mut drained = 0;
        while drained < DRAIN_MAX_BYTES {
            self.unread.clear();
            match self.fill()? {
                0 => break,
                len => drained += len,
            }
        }
        Ok(())
    }
}
