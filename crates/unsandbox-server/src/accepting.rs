// SPDX-License-Identifier: MIT OR Apache-2.0
//! The accept loop. Connections are accepted at once, so that the queue of the system, which knows no peers, stays short;
//! they wait for their places here, in turn between peers.

use crate::access_log::ClientAddress;
use crate::listen::{Socket, SocketFile};
use crate::party::Peer;
use crate::serve_connection::{Accepted, Acceptor};
use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use unsandbox_protocol::Error;
use unsandbox_protocol::turns::Turns;

/// Pause after a failed accept: without free descriptors the next one would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections that wait for a place. For a further one the server closes the oldest of the peer that has the most.
const WAITING_MAX: usize = 1024;

/// A socket in the event loop.
pub(crate) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// With the file of a Unix socket, which is removed when it is dropped.
    pub(crate) fn new(socket: Socket) -> Result<(Accepting, Option<SocketFile>), Error> {
        let failed = |error: io::Error| Error::config("cannot listen").with_cause(error);
        Ok(match socket {
            Socket::Tcp(listener, _) => {
                let listener = TcpListener::from_std(listener);
                (Accepting::Tcp(listener.map_err(failed)?), None)
            }
            Socket::Unix(listener, file) => {
                let listener = UnixListener::from_std(listener);
                (Accepting::Unix(listener.map_err(failed)?), Some(file))
            }
        })
    }

    /// Serves connections for as long as it is polled, or until the server is handed over. A connection that was
    /// accepted is served then, too.
    pub(crate) async fn accept(&self, acceptor: &Acceptor) {
        match self {
            Accepting::Tcp(listener) => accept(acceptor, async || next_tcp(listener).await).await,
            Accepting::Unix(listener) => accept(acceptor, async || next_unix(listener).await).await,
        }
    }
}

async fn next_tcp(listener: &TcpListener) -> io::Result<(Peer, Accepted<TcpStream>)> {
    let (stream, address) = listener.accept().await?;
    // A reply is one small write; Nagle's algorithm would only delay it.
    let _ = stream.set_nodelay(true);
    let (address, from) = (address.ip(), ClientAddress::ip(address.ip()));
    Ok((Peer::of_address(address), Accepted { stream, from, address: Some(address) }))
}

async fn next_unix(listener: &UnixListener) -> io::Result<(Peer, Accepted<UnixStream>)> {
    let (stream, _) = listener.accept().await?;
    let user = stream.peer_cred().map(|credentials| credentials.uid()).ok();
    let from = ClientAddress::user(user);
    Ok((Peer::User(user), Accepted { stream, from, address: None }))
}

/// Ends when the server is handed over and every connection that was accepted is served.
async fn accept<S>(acceptor: &Acceptor, next: impl AsyncFn() -> io::Result<(Peer, Accepted<S>)>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let waiting = RefCell::new(Turns::newcomers_first());
    let mut admission = pin!(admit_next(acceptor, &waiting));
    let mut handed_over = pin!(acceptor.handed_over());
    let mut accepts = true;
    loop {
        tokio::select! {
            accepted = next(), if accepts => match accepted {
                Ok((peer, accepted)) => {
                    let mut waiting = waiting.borrow_mut();
                    waiting.push(&peer, accepted);
                    if waiting.len() > WAITING_MAX {
                        waiting.pop_of_longest();
                    }
                }
                Err(error) => accept_failed(error).await,
            },
            () = admission.as_mut(), if !waiting.borrow().is_empty() => {
                admission.set(admit_next(acceptor, &waiting));
            }
            () = handed_over.as_mut(), if accepts => accepts = false,
            else => return,
        }
    }
}

/// Waits for a place for one of the connections that wait, and serves it.
async fn admit_next<S>(acceptor: &Acceptor, waiting: &RefCell<Turns<Peer, Accepted<S>>>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let unbegun = acceptor.unbegun().await;
    let permit = acceptor.limiter.permit().await;
    // Nothing is awaited from here on: this is not polled while nothing waits.
    if let Some((peer, accepted)) = waiting.borrow_mut().pop() {
        acceptor.open(accepted, acceptor.limiter.place(peer, permit), unbegun);
    }
}

async fn accept_failed(error: io::Error) {
    log::warn!("cannot accept a connection: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
