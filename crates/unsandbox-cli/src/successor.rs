// SPDX-License-Identifier: MIT OR Apache-2.0
//! A restart without a failed request: at SIGUSR2 a server starts its own command line anew, gives that process its
//! listening sockets over a Unix socket (the successor's standard input), and drains once the successor says that it
//! serves. If the successor does not, the old server goes on.

use crate::failure::Failure;
use crate::notify;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unsandbox_server::{HandOver, Sockets};

/// Set for a successor to the process that started it: its standard input is then the socket of the hand-over.
const VARIABLE: &str = "UNSANDBOX_SERVE_PREDECESSOR";
/// How long a successor may take until it serves.
const START_TIME: Duration = Duration::from_secs(60);
/// What a successor says when it serves.
const SERVES: &[u8] = b"serves\n";

/// What a successor got from the server that it replaces.
pub(crate) struct Predecessor {
    channel: UnixStream,
}

impl Predecessor {
    /// The server that this process replaces, with its sockets, if it was started by one.
    pub(crate) fn find() -> Result<Option<(Predecessor, Sockets)>, Failure> {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        // A variable of another process, which this one has inherited.
        if parent.is_none() || std::env::var(VARIABLE).ok() != parent {
            return Ok(None);
        }
        let failed = |error: io::Error| {
            Failure::failed(format!(
                "cannot take the sockets of the server before this one: {error}"
            ))
        };
        let channel = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let channel = UnixStream::from(channel);
        let sockets = receive(&channel).map_err(failed)?;
        Ok(Some((Predecessor { channel }, sockets)))
    }

    /// Tells the other server that this one serves.
    pub(crate) fn serves(mut self) {
        if let Err(error) = self.channel.write_all(SERVES) {
            log::warn!("the server before this one was not told that this one serves: {error}");
        }
    }
}

fn receive(channel: &UnixStream) -> io::Result<Sockets> {
    channel.set_read_timeout(Some(START_TIME))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let parts = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(channel, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => sockets.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let main = sockets.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Sockets { main, metrics: sockets.next() })
}

fn send(channel: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets: Vec<_> =
        std::iter::once(&sockets.main).chain(&sockets.metrics).map(AsFd::as_fd).collect();
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    sendmsg(channel, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// Replaces this server by a successor, once.
pub(crate) struct Replacement {
    hand_over: HandOver,
    is_done: AtomicBool,
}

impl Replacement {
    pub(crate) fn new(hand_over: HandOver) -> Replacement {
        Replacement { hand_over, is_done: AtomicBool::new(false) }
    }

    /// Starts the successor, and waits until it serves. If it does not, this server goes on, and the log says why.
    pub(crate) fn begin(&self) {
        if self.is_done.load(Ordering::SeqCst) {
            return log::warn!("SIGUSR2: this server has a successor already");
        }
        log::info!("SIGUSR2: a successor starts");
        match self.start() {
            Ok(child) => {
                self.is_done.store(true, Ordering::SeqCst);
                log::info!(
                    "SIGUSR2: the process {} serves; this one ends with its last request",
                    child.id()
                );
                notify::main_process(child.id());
                self.hand_over.begin();
            }
            Err(why) => log::error!("SIGUSR2: this server goes on: {why}"),
        }
    }

    fn start(&self) -> Result<Child, String> {
        let failed = |error: io::Error| format!("its successor could not be started: {error}");
        let sockets = self.hand_over.sockets().map_err(failed)?;
        let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut child = Command::new(program().map_err(failed)?)
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, std::process::id().to_string())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(failed)?;
        let told = send(&ours, &sockets).and_then(|()| wait_until_it_serves(&mut ours));
        match told {
            Ok(()) => Ok(child),
            Err(error) => {
                let _ = child.kill();
                let ended =
                    child.wait().map_or_else(|error| error.to_string(), |it| it.to_string());
                Err(format!("its successor did not serve ({error}; {ended}), and its log says why"))
            }
        }
    }
}

fn wait_until_it_serves(channel: &mut UnixStream) -> io::Result<()> {
    channel.set_read_timeout(Some(START_TIME))?;
    let mut said = [0; SERVES.len()];
    channel.read_exact(&mut said).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::other(format!("it took longer than {} s", START_TIME.as_secs()))
        }
        io::ErrorKind::UnexpectedEof => io::Error::other("it ended"),
        _ => error,
    })
}

/// The program of this process: after an update, the one that has its path now.
fn program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // The kernel says so of a file that was replaced.
    let replaced = program.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    Ok(replaced.map_or(program.clone(), PathBuf::from))
}
