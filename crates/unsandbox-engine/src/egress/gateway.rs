// SPDX-License-Identifier: MIT OR Apache-2.0
//! The gateway of one run: accepts connections on the listening sockets that the jail's init has made inside the jail,
//! and serves each on its own thread. It ends with the run.

use super::conn::Conn;
use super::session::{ConnectionEnd, Session};
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

/// How long to wait after an accept that failed, for example for lack of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

type Serve = fn(Conn<'_>) -> Result<(), ConnectionEnd>;

/// The protocols of the sockets, in the order of [`super::PORTS`].
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
            accept_connections(&own);
            drop((own, thread));
        })?;
        Ok(Gateway { session })
    }

    /// Ends every connection; returns the refusals.
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

/// Accepts connections until the run has ended.
fn accept_connections(session: &Arc<Session>) {
    let listeners = &session.listeners;
    // At the limit none is accepted; further clients wait in the kernel's backlog, which is bounded.
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
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    log::warn!("the egress gateway could not take a connection: {error}");
                    if !matches!(
                        session.wait([], Some(Instant::now() + PAUSE)),
                        Err(ConnectionEnd::TimedOut)
                    ) {
                        return;
                    }
                }
            }
        }
    }
}

/// Whether only this connection failed, and the next accept may succeed.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

/// Serves a connection on its own thread. Without a free place or a thread, the connection is closed.
fn serve(session: &Arc<Session>, stream: TcpStream, slot: Slot, protocol: Serve) {
    let Some(places) = session.egress.connection(&session.owner) else {
        let max = session.egress.connections.max();
        let why = format!(
            "the {max} connections of all runs together are in use, or this key uses its share of them"
        );
        session.refuse("a connection", &why);
        return;
    };
    let thread = session.egress.threads.try_take();
    let own = session.clone();
    let work = move || {
        crate::jailer::start::block_signals();
        let served =
            Conn::new(&own, stream, REQUEST_TIME).map_err(ConnectionEnd::from).and_then(protocol);
        if let Err(end) = served {
            log::debug!("an egress connection ended: {end:?}");
        }
        drop((slot, places, own, thread));
    };
    let spawned = std::thread::Builder::new().name("unsandbox-egress".to_string()).spawn(work);
    if let Err(error) = spawned {
        log::warn!("an egress connection got no thread: {error}");
    }
}
