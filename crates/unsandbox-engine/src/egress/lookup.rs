// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves names, outside the jail. The system's resolver cannot be interrupted, so each lookup has its own thread,
//! which may outlive the run but holds no resources of it.

use super::session::{ConnectionEnd, Session};
use super::slots::Slots;
use rustix::event::PollFlags;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unsandbox_protocol::sync::lock;

/// Resolves host names for the gateway.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of `host`: lower case, ASCII, without a trailing dot. May block.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // The final dot disables the search list, which would turn the checked name into another one.
        let found = (format!("{host}.").as_str(), 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

pub enum LookupError {
    NotFound(String),
    Busy,
    Ended(ConnectionEnd),
}

/// Resolves `host` once.
pub fn lookup(
    session: &Session,
    host: &str,
    deadline: Instant,
) -> Result<Vec<IpAddr>, LookupError> {
    let wait_for = |places: &Arc<Slots>| places.take(Some(deadline), || session.is_over());
    let own =
        wait_for(&session.lookups).and_then(|own| Some((own, wait_for(&session.owner.lookups)?)));
    let (Some(own), Some(of_all)) = (own, session.egress.lookups.try_take()) else {
        return Err(if session.is_over() {
            LookupError::Ended(ConnectionEnd::RunEnded)
        } else {
            LookupError::Busy
        });
    };
    let broken = |error: io::Error| LookupError::Ended(error.into());
    let answer = Arc::new(Mutex::new(None));
    let (done, finish) = io::pipe().map_err(broken)?;
    let (place, resolver) = (answer.clone(), session.egress.resolver.clone());
    let name = host.to_string();
    let work = move || {
        crate::jailer::start::block_signals();
        let found = resolver.resolve(&name);
        *lock(&place) = Some(found);
        drop((own, of_all, finish));
    };
    std::thread::Builder::new().name("unsandbox-dns".to_string()).spawn(work).map_err(broken)?;
    session.wait([(done.as_fd(), PollFlags::IN)], Some(deadline)).map_err(LookupError::Ended)?;
    match lock(&answer).take() {
        Some(Ok(found)) if !found.is_empty() => Ok(found),
        Some(Ok(_)) => Err(LookupError::NotFound("it has no address".to_string())),
        Some(Err(error)) => Err(LookupError::NotFound(error.to_string())),
        None => Err(LookupError::NotFound("the resolver failed".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Egress, EgressOptions, LOOKUPS_EACH, LOOKUPS_MAX, LOOKUPS_OWNER};
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;
    use unsandbox_protocol::Owner;

    /// Answers at once; for "slow" it reports that it has begun, and waits until `open` is unlocked.
    #[derive(Debug)]
    struct Names {
        begun: Sender<()>,
        open: Mutex<()>,
    }

    impl Resolver for Names {
        fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            if host == "slow" {
                let _ = self.begun.send(());
                drop(self.open.lock());
            }
            Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
        }
    }

    fn session(egress: &Arc<Egress>, owner: &str) -> Session {
        let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        Session::new(egress.clone(), &Owner(owner.to_string()), listeners).unwrap()
    }

    #[test]
    fn slow_names_of_one_owner_leave_room_for_the_others() {
        let (begun, begins) = channel();
        let names = Arc::new(Names { begun, open: Mutex::new(()) });
        let options = EgressOptions { resolver: Some(names.clone()), ..EgressOptions::default() };
        let egress = Arc::new(Egress::new(&options).unwrap());
        let closed = names.open.lock().unwrap();
        let soon = || Instant::now() + Duration::from_millis(500);
        // Enough runs to take every place; each ends before its answers arrive.
        std::thread::scope(|scope| {
            for _ in 0..LOOKUPS_MAX / LOOKUPS_EACH {
                let egress = egress.clone();
                scope.spawn(move || {
                    let session = session(&egress, "a");
                    std::thread::scope(|scope| {
                        for _ in 0..LOOKUPS_EACH {
                            scope.spawn(|| assert!(lookup(&session, "slow", soon()).is_err()));
                        }
                    });
                    session.end();
                });
            }
        });
        for number in 0..LOOKUPS_OWNER {
            assert!(begins.recv_timeout(Duration::from_secs(20)).is_ok(), "lookup {number}");
        }
        assert!(begins.try_recv().is_err(), "more than the owner's share");
        let later = || Instant::now() + Duration::from_secs(20);
        assert!(lookup(&session(&egress, "b"), "quick", later()).is_ok());
        assert!(matches!(lookup(&session(&egress, "a"), "quick", soon()), Err(LookupError::Busy)));
        drop(closed);
        assert!(lookup(&session(&egress, "a"), "quick", later()).is_ok());
    }
}
