// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names to addresses, outside the jail. The system's resolver cannot be interrupted, so each lookup
//! has a thread of its own that may outlive the run, but holds nothing of it.

use super::session::{Halt, Session};
use rustix::event::PollFlags;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

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
        // The dot: a search list would make another name of the one that was checked.
        let found = (format!("{host}.").as_str(), 0).to_socket_addrs()?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

pub enum Trouble {
    NotFound(String),
    Busy,
    Halt(Halt),
}

/// Resolves `host` once.
pub fn lookup(session: &Session, host: &str, deadline: Instant) -> Result<Vec<IpAddr>, Trouble> {
    let own = session.lookups.take(Some(deadline), || session.is_over());
    let (Some(own), Some(of_all)) = (own, session.egress.lookups.try_take()) else {
        return Err(if session.is_over() { Trouble::Halt(Halt::Over) } else { Trouble::Busy });
    };
    let broken = |error: io::Error| Trouble::Halt(error.into());
    let answer = Arc::new(Mutex::new(None));
    let (done, finish) = io::pipe().map_err(broken)?;
    let (place, resolver) = (answer.clone(), session.egress.resolver.clone());
    let name = host.to_string();
    let work = move || {
        crate::start::block_signals();
        let found = resolver.resolve(&name);
        *place.lock().expect("no panic under this lock") = Some(found);
        drop((own, of_all, finish));
    };
    std::thread::Builder::new().name("unsandbox-dns".to_string()).spawn(work).map_err(broken)?;
    session.wait([(done.as_fd(), PollFlags::IN)], Some(deadline)).map_err(Trouble::Halt)?;
    match answer.lock().expect("no panic under this lock").take() {
        Some(Ok(found)) if !found.is_empty() => Ok(found),
        Some(Ok(_)) => Err(Trouble::NotFound("it has no address".to_string())),
        Some(Err(error)) => Err(Trouble::NotFound(error.to_string())),
        None => Err(Trouble::NotFound("the resolver failed".to_string())),
    }
}
