// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state that the connections of one run share: whether the run has ended, what it may still use, and the list of
//! refusals.

use super::slots::{Slot, Slots};
use super::{Egress, OwnerSlots};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::io;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unsandbox_protocol::Owner;
use unsandbox_protocol::sync::lock;

/// Why a connection ends.
#[derive(Debug)]
pub enum ConnectionEnd {
    /// The run has ended, or has used all that it may.
    RunEnded,
    /// The other end was too slow.
    TimedOut,
    Failed(io::Error),
}

impl From<io::Error> for ConnectionEnd {
    fn from(error: io::Error) -> ConnectionEnd {
        ConnectionEnd::Failed(error)
    }
}

pub struct Session {
    pub egress: Arc<Egress>,
    pub listeners: [TcpListener; 2],
    /// Readable for good once the run has ended.
    stop: OwnedFd,
    stopped: AtomicBool,
    bytes: AtomicU64,
    pub connections: Arc<Slots>,
    pub lookups: Arc<Slots>,
    /// The places that all runs of the same owner share.
    pub owner: Arc<OwnerSlots>,
    refusals: Mutex<Refusals>,
}

/// The most refusals that are reported one by one; the others are only counted.
const REPORTED_MAX: usize = 10;

#[derive(Debug, Default)]
struct Refusals {
    reported: Vec<(String, u64)>,
    others: u64,
}

impl Session {
    pub fn new(
        egress: Arc<Egress>,
        owner: &Owner,
        listeners: [TcpListener; 2],
    ) -> io::Result<Session> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let connections = Slots::new(egress.options.connections_max.max(1));
        let owner = egress.share_of(owner);
        Ok(Session {
            egress,
            listeners,
            stop,
            stopped: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            connections,
            lookups: Slots::new(super::LOOKUPS_EACH),
            owner,
            refusals: Mutex::default(),
        })
    }

    /// Ends every connection and accepts no more.
    pub fn end(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Before any connection is cut: a client that connects again is refused, even if a forked copy of the host still
        // has the sockets.
        for listener in &self.listeners {
            let _ = shutdown(listener, Shutdown::Both);
        }
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        self.connections.wake_waiters();
        self.lookups.wake_waiters();
        self.owner.lookups.wake_waiters();
    }

    pub fn is_over(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// A place for one more connection of this run; `None` once the run has ended.
    pub fn connection(&self) -> Option<Slot> {
        self.connections.take(None, || self.is_over()).filter(|_| !self.is_over())
    }

    /// Waits for an event of one of `wanted`; returns the events of each.
    pub fn wait<const N: usize>(
        &self,
        wanted: [(BorrowedFd<'_>, PollFlags); N],
        deadline: Option<Instant>,
    ) -> Result<[PollFlags; N], ConnectionEnd> {
        // A descriptor without wanted events would report its hang-up again and again, so it is left out.
        let mut polled = vec![PollFd::new(&self.stop, PollFlags::IN)];
        let mut places = [0; N];
        for (place, (fd, flags)) in places.iter_mut().zip(&wanted) {
            if !flags.is_empty() {
                *place = polled.len();
                polled.push(PollFd::from_borrowed_fd(*fd, *flags));
            }
        }
        loop {
            let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if timeout.is_some_and(|rest| rest.is_zero()) {
                return Err(ConnectionEnd::TimedOut);
            }
            let timeout = timeout.and_then(|rest| Timespec::try_from(rest).ok());
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) if !polled[0].revents().is_empty() => return Err(ConnectionEnd::RunEnded),
                Ok(_) => {
                    let events = |place: usize| {
                        if place == 0 { PollFlags::empty() } else { polled[place].revents() }
                    };
                    return Ok(places.map(events));
                }
                Err(error) => return Err(ConnectionEnd::Failed(error.into())),
            }
        }
    }

    /// Counts received bytes of either side; the first byte over the limit ends every connection.
    pub fn count(&self, len: usize) -> Result<(), ConnectionEnd> {
        let before = self.bytes.fetch_add(len as u64, Ordering::SeqCst);
        let max = self.egress.options.bytes_max;
        if before.saturating_add(len as u64) <= max {
            return Ok(());
        }
        if before <= max {
            self.report(format!(
                "egress ended: the run transferred more than {max} bytes, the limit"
            ));
            self.end();
        }
        Err(ConnectionEnd::RunEnded)
    }

    /// Reports that `target` was refused; called before the client gets the answer.
    pub fn refuse(&self, target: &str, reason: &str) {
        self.report(format!("egress refused: {target} ({reason})"));
    }

    fn report(&self, text: String) {
        let mut refusals = lock(&self.refusals);
        if let Some((_, times)) = refusals.reported.iter_mut().find(|(known, _)| *known == text) {
            *times += 1;
        } else if refusals.reported.len() < REPORTED_MAX {
            // Only new refusals are logged, so that a program cannot fill the host's log.
            log::info!("{text}");
            refusals.reported.push((text, 1));
        } else {
            refusals.others += 1;
        }
    }

    /// The refusals, for the result.
    pub fn notes(&self) -> Vec<String> {
        let refusals = lock(&self.refusals);
        let line = |(text, times): &(String, u64)| match times {
            1 => text.clone(),
            _ => format!("{text}, {times} times"),
        };
        let mut notes: Vec<String> = refusals.reported.iter().map(line).collect();
        if refusals.others > 0 {
            notes.push(format!("egress refused {} further connections", refusals.others));
        }
        notes
    }
}
