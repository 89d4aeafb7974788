// SPDX-License-Identifier: MIT OR Apache-2.0
//! A restart without a failed request: at SIGUSR2 a server starts its own command line anew, gives that process its
//! listening sockets over a Unix socket (the successor's standard input), and drains once the successor says that it
//! serves. If the successor does not, the old server goes on.

use crate::failure::Failure;
use crate::notify;
use rustix::net::sockopt::socket_domain;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use unsandbox::protocol::sync::lock;
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
        let Ok(given) = std::env::var(VARIABLE) else { return Ok(None) };
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
        if parent.as_ref() != Some(&given) {
            // Else a variable of another process, which this one has inherited.
            let is_successor = socket_domain(io::stdin()).is_ok_and(|it| it == AddressFamily::UNIX);
            return match is_successor {
                true => Err(gone()),
                false => Ok(None),
            };
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

    /// Tells the other server that this one serves. An error if it has ended meanwhile: it was stopped, and its operator
    /// wants no other server in its place.
    pub(crate) fn serves(mut self) -> Result<(), Failure> {
        self.channel.write_all(SERVES).map_err(|_| gone())
    }
}

fn gone() -> Failure {
    Failure::failed(
        "the server that started this one as its successor has ended, so this one ends too",
    )
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
    progress: Mutex<Progress>,
}

/// How far a replacement is.
#[derive(PartialEq, Eq)]
enum Progress {
    Idle,
    /// With the successor that does not serve yet.
    Starts(Pid),
    Done,
    /// This server stops, and has no successor.
    Stopped,
}

impl Replacement {
    pub(crate) fn new(hand_over: HandOver) -> Replacement {
        Replacement { hand_over, progress: Mutex::new(Progress::Idle) }
    }

    /// This server stops: a successor that does not serve yet is ended with it.
    pub(crate) fn stop(&self) {
        let mut progress = lock(&self.progress);
        if let Progress::Starts(successor) = *progress {
            // Its parent has not waited for it, so that the number is still its own.
            let _ = kill_process(successor, Signal::KILL);
        }
        if *progress != Progress::Done {
            *progress = Progress::Stopped;
        }
    }

    /// Starts the successor, and waits until it serves. If it does not, this server goes on, and the log says why.
    pub(crate) fn begin(&self) {
        match *lock(&self.progress) {
            Progress::Idle => {}
            Progress::Stopped => return log::warn!("SIGUSR2: this server stops"),
            _ => return log::warn!("SIGUSR2: this server has a successor already"),
        }
        if std::process::id() == 1 {
            return log::error!(
                "SIGUSR2: this server goes on: it is the first process of a container, which ends with it; start a new \
                 container"
            );
        }
        log::info!("SIGUSR2: a successor starts");
        match self.start() {
            Ok(child) => {
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
        let mut command = Command::new(program().map_err(failed)?);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, std::process::id().to_string());
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut child = {
            let mut progress = lock(&self.progress);
            if *progress != Progress::Idle {
                return Err("it stops".to_string());
            }
            let child = command.spawn().map_err(failed)?;
            *progress = Progress::Starts(Pid::from_child(&child));
            child
        };
        // Its end of the channel: the end of the successor would not be seen otherwise.
        drop(command);
        let told = send(&ours, &sockets).and_then(|()| wait_until_it_serves(&mut ours));
        let mut progress = lock(&self.progress);
        match told {
            Ok(()) if *progress != Progress::Stopped => {
                *progress = Progress::Done;
                Ok(child)
            }
            told => {
                if *progress != Progress::Stopped {
                    *progress = Progress::Idle;
                }
                let error = told.err().unwrap_or_else(|| io::Error::other("this server stops"));
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

/// The program that the command line of this process names now: after an update another one.
fn program() -> io::Result<PathBuf> {
    let named = std::env::args_os().next().map(PathBuf::from).filter(|name| {
        // A name without a folder was looked for in PATH, where another one may be found now.
        name.components().count() > 1 && name.is_file()
    });
    if let Some(program) = named {
        return Ok(program);
    }
    let program = std::env::current_exe()?;
    // The kernel says so of a file that was replaced.
    let replaced = program.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    Ok(replaced.map_or(program.clone(), PathBuf::from))
}
