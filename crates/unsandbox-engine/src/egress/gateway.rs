// SPDX-License-Identifier: MIT OR Apache-2.0
//! The gateway of one run: it takes connections from the listening sockets that the jail's init has made
//! inside the jail, and serves each on a thread of its own. It ends with the run.

use super::conn::Conn;
use super::session::{Halt, Session};
use super::slots::Slot;
use super::{Egress, REQUEST_TIME, http, socks};
use rustix::event::PollFlags;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::Owner;

/// A running gateway; dropping it ends it.
pub struct Gateway {
    session: Arc<Session>,
}

/// Out of descriptors, or of memory: the next look at the listening sockets.
const PAUSE: Duration = Duration::from_millis(100);

type Serve = fn(Conn<'_>) -> Result<(), Halt>;

/// What is spoken on the sockets, in the order of [`super::PORTS`].
const PROTOCOLS: [Serve; 2] = [http::serve, socks::serve];

impl Gateway {
    /// Takes over the listening sockets of a jail.
    pub fn start(
        egress: &Arc<Egress>,
        owner: &Owner,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<Gateway> {
        let listeners: Vec<TcpListener> = sockets.into_iter().map(TcpListener::from).collect();
        let listeners = <[TcpListener; 2]>::try_from(listeners)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        for listener in &listeners {
            listener.set_nonblocking(true)?;
        }
        let session = Arc::new(Session::new(egress.clone(), owner, listeners)?);
        let thread = egress.threads.try_take();
        let own = session.clone();
        std::thread::Builder::new().name("unsandbox-egress".to_string()).spawn(move || {
            crate::jailer::start::block_signals();
            take_connections(&own);
            drop((own, thread));
        })?;
        Ok(Gateway { session })
    }

    /// Ends every connection; what was refused.
    pub fn end(self) -> Vec<String> {
        self.session.end();
        self.session.notes()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.session.end();
    }
}

/// Until the run is over.
fn take_connections(session: &Arc<Session>) {
    let listeners = &session.listeners;
    // At the limit nobody is taken; who connects then waits in the kernel's bounded backlog.
    while let Some(mut slot) = session.connection().map(Some) {
        let wanted = listeners.each_ref().map(|listener| (listener.as_fd(), PollFlags::IN));
        let Ok(ready) = session.wait(wanted, None) else { return };
        for (index, listener) in listeners.iter().enumerate() {
            if ready[index].is_empty() {
                continue;
            }
            let Some(slot) = slot.take().or_else(|| session.connections.try_take()) else { break };
            match listener.accept() {
                Ok((stream, _)) => serve(session, stream, slot, PROTOCOLS[index]),
                Err(_) if session.is_over() => return,
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    log::warn!("the egress gateway could not take a connection: {error}");
                    if !matches!(session.wait([], Some(Instant::now() + PAUSE)), Err(Halt::Late)) {
                        return;
                    }
                }
            }
        }
    }
}

/// Gone before it was taken.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

/// On a thread of its own. Where there is no place, or no thread, the connection is closed.
fn serve(session: &Arc<Session>, stream: TcpStream, slot: Slot, protocol: Serve) {
    let Some(of_all) = session.egress.connections.try_take() else {
        let max = session.egress.connections.max();
        let why = format!("all runs together have {max} connections, the limit");
        session.refuse("a connection", &why);
        return;
    };
    let thread = session.egress.threads.try_take();
    let own = session.clone();
    let work = move || {
        crate::jailer::start::block_signals();
        let served = Conn::new(&own, stream, REQUEST_TIME).map_err(Halt::from).and_then(protocol);
        if let Err(halt) = served {
            log::debug!("an egress connection ended: {halt:?}");
        }
        drop((slot, of_all, own, thread));
    };
    let spawned = std::thread::Builder::new().name("unsandbox-egress".to_string()).spawn(work);
    if let Err(error) = spawned {
        log::warn!("an egress connection got no thread: {error}");
    }
}
