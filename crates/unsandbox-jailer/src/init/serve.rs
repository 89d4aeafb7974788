// SPDX-License-Identifier: MIT OR Apache-2.0
//! The init of a jail that is kept: it executes the engine's commands one after the other (`commands.rs` defines them)
//! until the command `End`, or until one of its sockets is closed.

use crate::init::collect;
use crate::init::files::Tree;
use crate::init::step::{Outcome, Received, Stepper};
use crate::init::streams::{RunStreams, Streams};
use crate::sys;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::commands::{
    Answer, Command, FromInit, PLACE_MAX, Plan, Step, StepKind, ToInit,
};

/// How long sending an answer may block while the engine reads earlier ones.
const ANSWER_TIME: Duration = Duration::from_secs(10);

const WHY_MAX_CHARS: usize = 300;

/// What is left to do after a command.
enum Next {
    Command,
    End,
}

/// Sets the send timeout, so that an engine that reads no answers cannot keep the jail for ever.
pub fn limit_answers(control: BorrowedFd<'_>) -> io::Result<()> {
    let send = rustix::net::sockopt::Timeout::Send;
    Ok(rustix::net::sockopt::set_socket_timeout(control, send, Some(ANSWER_TIME))?)
}

pub struct Server<'a> {
    control: BorrowedFd<'a>,
    parent_socket: BorrowedFd<'a>,
    plan: &'a Plan,
    tmp: &'a Path,
    tree: Tree,
    is_running: Cell<bool>,
}

impl<'a> Server<'a> {
    pub fn new(
        [control, parent_socket]: [BorrowedFd<'a>; 2],
        plan: &'a Plan,
        tmp: &'a Path,
    ) -> io::Result<Server<'a>> {
        let (tree, is_running) = (Tree::open(tmp)?, Cell::new(false));
        Ok(Server { control, parent_socket, plan, tmp, tree, is_running })
    }

    /// Executes commands until the end. The batch before them counts as command 0.
    pub fn serve(&self, stepper: &mut Stepper<'_>) -> io::Result<()> {
        self.answer(0, Answer::Done, &[])?;
        loop {
            let ends = [self.control.as_raw_fd(), self.parent_socket.as_raw_fd()];
            let [control_readable, parent_closed] = sys::poll_readable(ends, None)?;
            if parent_closed {
                return Ok(());
            }
            if control_readable {
                let Some((message, fds)) = self.receive()? else { return Ok(()) };
                if let ToInit::Command { id, command } = message
                    && let Next::End = self.execute_command(id, command, fds, stepper)?
                {
                    return Ok(());
                }
            }
        }
    }

    /// The next message; `None` at the end, and for one that is malformed.
    fn receive(&self) -> io::Result<Option<(ToInit, Vec<OwnedFd>)>> {
        let received = channel::receive(self.control)?;
        Ok(received.and_then(|(bytes, fds)| Some((ToInit::from_bytes(&bytes)?, fds))))
    }

    fn answer(&self, id: u64, answer: Answer, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let message = FromInit::Answer { id, answer };
        // While a program runs, the init must not block: it has to watch the program.
        match self.is_running.get() {
            true => channel::try_send(self.control, &message, fds),
            false => channel::send(self.control, &message, fds),
        }
    }

    fn refuse(&self, id: u64, why: &str, errno: i32) -> io::Result<()> {
        // It may contain a path, which may be as long as a message.
        let why = why.chars().take(WHY_MAX_CHARS).collect();
        self.answer(id, Answer::Refused { why, errno }, &[])
    }

    fn execute_command(
        &self,
        id: u64,
        command: Command,
        fds: Vec<OwnedFd>,
        stepper: &mut Stepper<'_>,
    ) -> io::Result<Next> {
        match command {
            Command::End => return Ok(Next::End),
            Command::Spawn { argv, env, wall_ms } => {
                let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(fds) else {
                    self.refuse(id, "spawn needs three streams", 0)?;
                    return Ok(Next::Command);
                };
                let step = Step { kind: StepKind::Run, argv, wall_ms };
                self.spawn(id, &step, &env, Streams { stdin, stdout, stderr }, stepper)?;
            }
            Command::Signal { .. } => self.refuse(id, "no program runs", 0)?,
            Command::Collect => {
                let send = |message: FromInit, fds: &[BorrowedFd<'_>]| {
                    channel::send(self.control, &message, fds)
                };
                match collect::collect(self.plan, self.tmp, None, send) {
                    Ok(()) => self.answer(id, Answer::Done, &[])?,
                    Err(error) => self.refuse_for(id, "collect", &error)?,
                }
            }
            command => self.execute_file_command(id, command, fds)?,
        }
        Ok(Next::Command)
    }

    fn refuse_for(&self, id: u64, what: &str, error: &io::Error) -> io::Result<()> {
        self.refuse(id, &format!("{what}: {error}"), error.raw_os_error().unwrap_or(0))
    }

    fn execute_file_command(&self, id: u64, command: Command, fds: Vec<OwnedFd>) -> io::Result<()> {
        let is_running = self.is_running.get();
        let (what, done) = match command {
            Command::Place { len, .. } if is_running && len > PLACE_MAX => {
                let why = format!("at most {PLACE_MAX} bytes are placed while a program runs");
                return self.refuse(id, &why, libc::EFBIG);
            }
            Command::Place { path, len } => {
                let placed = match fds.into_iter().next() {
                    Some(content) => self.tree.place(&path, content, len),
                    None => Err(io::Error::from_raw_os_error(libc::EBADF)),
                };
                (format!("place {path}"), placed.map(|()| (Answer::Done, None)))
            }
            Command::Read { path } => {
                let read = self.tree.read(&path);
                (format!("read {path}"), read.map(|(file, len)| (Answer::File { len }, Some(file))))
            }
            Command::List { path, after } => {
                let listed = self.tree.list(&path, &after.0);
                let entries = |(entries, has_more)| (Answer::Entries { entries, has_more }, None);
                (format!("list {path}"), listed.map(entries))
            }
            Command::Remove { path } => {
                let removed = self.tree.remove(&path, !is_running);
                (format!("remove {path}"), removed.map(|()| (Answer::Done, None)))
            }
            _ => return self.refuse(id, "a program runs", libc::EBUSY),
        };
        match done {
            Ok((answer, file)) => {
                let file: Vec<BorrowedFd<'_>> = file.iter().map(AsFd::as_fd).collect();
                match self.answer(id, answer, &file) {
                    Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                        self.refuse_for(id, &what, &error)
                    }
                    answered => answered,
                }
            }
            Err(error) => self.refuse_for(id, &what, &error),
        }
    }

    fn spawn(
        &self,
        id: u64,
        step: &Step,
        env: &[String],
        streams: Streams,
        stepper: &mut Stepper<'_>,
    ) -> io::Result<()> {
        let Ok(()) = stepper.prepare(env) else {
            return self.refuse(id, "a variable holds a NUL byte", libc::EINVAL);
        };
        if let Err(error) = self.tree.enter_work() {
            return self.refuse_for(id, "enter the work directory", &error);
        }
        let before = stepper.cpu_time_us();
        if stepper.cpu_is_used_up() {
            let why = format!("the jail has used its processor time ({} ms)", before / 1000);
            return self.refuse(id, &why, 0);
        }
        self.is_running.set(true);
        let started = || self.answer(id, Answer::Started, &[]);
        let mut receive = || self.receive_while_running();
        let ends = [self.control, self.parent_socket];
        let taken = stepper.take(step, RunStreams::Own(streams), ends, started, &mut receive);
        self.is_running.set(false);
        match taken {
            Ok(Outcome { mut end, .. }) => {
                end.cpu_time_us = end.cpu_time_us.saturating_sub(before);
                self.answer(id, Answer::Ended { end }, &[])
            }
            Err(trouble) => self.refuse(id, &trouble.what, trouble.errno),
        }
    }

    /// Receives and executes a command while a program runs.
    fn receive_while_running(&self) -> Received {
        let Ok(Some((message, fds))) = self.receive() else { return Received::Closed };
        let done = match message {
            ToInit::Stop { collect } => return Received::Stop { collect },
            ToInit::Command { command: Command::End, .. } => return Received::Closed,
            ToInit::Command { id, command: Command::Signal { signal } }
                if [libc::SIGINT, libc::SIGKILL].contains(&signal) =>
            {
                if self.answer(id, Answer::Done, &[]).is_ok() {
                    return Received::Signal(signal);
                }
                return Received::Closed;
            }
            ToInit::Command { id, command: Command::Signal { signal } } => {
                self.refuse(id, &format!("signal {signal} is neither 2 nor 9"), libc::EINVAL)
            }
            ToInit::Command { id, command } => self.execute_file_command(id, command, fds),
        };
        if done.is_ok() { Received::Nothing } else { Received::Closed }
    }
}
