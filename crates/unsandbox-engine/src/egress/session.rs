// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the connections of one run share: the word that it is over, what it may still use, and what
//! was refused to it.

use super::Egress;
use super::slots::{Slot, Slots};
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

/// Why a connection goes no further.
#[derive(Debug)]
pub enum Halt {
    /// The run, or what it may use, is at its end.
    Over,
    /// The other end was too slow.
    Late,
    Broken(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Halt {
        Halt::Broken(error)
    }
}

pub struct Session {
    pub egress: Arc<Egress>,
    pub listeners: [TcpListener; 2],
    /// Readable for good once the run is over.
    stop: OwnedFd,
    stopped: AtomicBool,
    bytes: AtomicU64,
    pub connections: Arc<Slots>,
    pub lookups: Arc<Slots>,
    /// Those of all runs of the same owner.
    pub owner_lookups: Arc<Slots>,
    refusals: Mutex<Refusals>,
}

/// Refusals that are told one by one; the rest is a number.
const TOLD_MAX: usize = 10;

#[derive(Debug, Default)]
struct Refusals {
    told: Vec<(String, u64)>,
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
        let owner_lookups = egress.share_of(owner);
        Ok(Session {
            egress,
            listeners,
            stop,
            stopped: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            connections,
            lookups: Slots::new(super::LOOKUPS_EACH),
            owner_lookups,
            refusals: Mutex::default(),
        })
    }

    /// Ends every connection and lets nobody in any more.
    pub fn end(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Before any connection is cut: a client that comes back after that finds nobody, also where a forked
        // copy of the host still holds the sockets.
        for listener in &self.listeners {
            let _ = shutdown(listener, Shutdown::Both);
        }
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        self.connections.nudge();
        self.lookups.nudge();
        self.owner_lookups.nudge();
    }

    pub fn is_over(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// A place for one more connection of this run; `None` once it is over.
    pub fn connection(&self) -> Option<Slot> {
        self.connections.take(None, || self.is_over()).filter(|_| !self.is_over())
    }

    /// Waits until one of `wanted` has something to tell; tells what of each.
    pub fn wait<const N: usize>(
        &self,
        wanted: [(BorrowedFd<'_>, PollFlags); N],
        deadline: Option<Instant>,
    ) -> Result<[PollFlags; N], Halt> {
        // One that is waited for in no direction would still report its end, again and again.
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
                return Err(Halt::Late);
            }
            let timeout = timeout.and_then(|rest| Timespec::try_from(rest).ok());
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) if !polled[0].revents().is_empty() => return Err(Halt::Over),
                Ok(_) => {
                    let told = |place: usize| {
                        if place == 0 { PollFlags::empty() } else { polled[place].revents() }
                    };
                    return Ok(places.map(told));
                }
                Err(error) => return Err(Halt::Broken(error.into())),
            }
        }
    }

    /// Counts what came in from either side; the byte over the limit ends everything.
    pub fn count(&self, len: usize) -> Result<(), Halt> {
        let before = self.bytes.fetch_add(len as u64, Ordering::SeqCst);
        let max = self.egress.options.bytes_max;
        if before.saturating_add(len as u64) <= max {
            return Ok(());
        }
        if before <= max {
            self.tell(format!(
                "egress ended: the run transferred more than {max} bytes, the limit"
            ));
            self.end();
        }
        Err(Halt::Over)
    }

    /// Notes that `target` was refused, before the client hears of it.
    pub fn refuse(&self, target: &str, reason: &str) {
        self.tell(format!("egress refused: {target} ({reason})"));
    }

    fn tell(&self, text: String) {
        let mut refusals = self.refusals.lock().expect("no panic under this lock");
        if let Some((_, times)) = refusals.told.iter_mut().find(|(known, _)| *known == text) {
            *times += 1;
        } else if refusals.told.len() < TOLD_MAX {
            // Only here: a program that is refused a million times does not fill the host's log.
            log::info!("{text}");
            refusals.told.push((text, 1));
        } else {
            refusals.others += 1;
        }
    }

    /// What was refused, for the result.
    pub fn notes(&self) -> Vec<String> {
        let refusals = self.refusals.lock().expect("no panic under this lock");
        let line = |(text, times): &(String, u64)| match times {
            1 => text.clone(),
            _ => format!("{text}, {times} times"),
        };
        let mut notes: Vec<String> = refusals.told.iter().map(line).collect();
        if refusals.others > 0 {
            notes.push(format!("egress refused {} further connections", refusals.others));
        }
        notes
    }
}
