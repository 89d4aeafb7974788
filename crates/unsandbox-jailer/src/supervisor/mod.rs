// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jailer's event loop: messages of the engine, the host's death, and ended children. It also keeps a few jails
//! ready for the next runs.

pub mod jail;
mod namespaces;
mod network;
mod probe;
mod workplace;

use crate::folder;
use crate::init;
use crate::layers::ablation;
use crate::layers::landlock;
use crate::proc;
use crate::supervisor::jail::{Builder, Jail};
use crate::supervisor::workplace::Workplace;
use crate::sys;
use crate::tree::{self, BETWEEN_TRIES};
use crate::trouble::{JailResult, trouble};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_jailer::ENGINE_FD;
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::message::{FromJailer, LEVEL_NONE, Needs, ToJailer, Trouble};

/// Jails kept ready for each of the most recently used kinds of need.
const READY_EACH: usize = 2;
const KINDS_MAX: usize = 4;
/// How long other runs may wait while the processes of a killed init are ended.
const KILL_WAIT: Duration = Duration::from_secs(1);
/// How long a run has the processors for itself before the next jail is made.
const PAUSE: Duration = Duration::from_millis(3);
/// After this time without an event, the remains of the last runs are removed.
const QUIET: Duration = Duration::from_millis(20);
/// The id where a jail has no run.
const NO_RUN: u64 = 0;

/// The jailer's arguments, which the engine gives it.
pub struct Start {
    /// Its process id.
    pub host: libc::pid_t,
    /// Whether jails are to have namespaces.
    pub full: bool,
    /// Its folder for temporary files.
    pub temporary: PathBuf,
}

impl Start {
    pub fn from_arguments() -> Option<Start> {
        let mut arguments = std::env::args().skip(1);
        let host = arguments.next()?.parse().ok()?;
        let full = match arguments.next()?.as_str() {
            "full" => true,
            "reduced" => false,
            _ => return None,
        };
        let temporary = PathBuf::from(arguments.next()?);
        (arguments.next().is_none() && sys::is_open(ENGINE_FD)).then_some(Start {
            host,
            full,
            temporary,
        })
    }
}

/// Serves the engine until it sends `Quit`, closes the socket, or dies.
pub fn run(start: Start) -> io::Result<()> {
    sys::set_name(c"unsandbox-jail");
    sys::new_session();
    sys::reset_signals();
    sys::set_umask(0o022);
    std::env::set_current_dir("/")?;
    ablation::choose(start.host);
    sys::raise_open_files();
    sys::close_all_but(ENGINE_FD + 1, &[]);
    // SAFETY: started with it (`Start::from_arguments` looks), and nothing else here owns it.
    let engine = unsafe { OwnedFd::from_raw_fd(ENGINE_FD) };
    sys::set_close_on_exec(engine.as_raw_fd());
    // The host waits for the first message, so that the process id is still its own.
    let host = sys::open_process(start.host)?;
    let signals = sys::child_signal_fd()?;
    let mut supervisor = Supervisor {
        engine,
        builder: Err(none_yet()),
        workplace: None,
        runs: HashMap::new(),
        ready: Vec::new(),
    };
    supervisor.choose_level(&start);
    let served = supervisor.greet().and_then(|()| serve(&mut supervisor, &host, &signals));
    supervisor.end_everything();
    served
}

fn serve(supervisor: &mut Supervisor, host: &OwnedFd, signals: &OwnedFd) -> io::Result<()> {
    let polled = [supervisor.engine.as_raw_fd(), host.as_raw_fd(), signals.as_raw_fd()];
    let mut buffer = Vec::new();
    loop {
        let timeout = supervisor.timeout();
        let [engine_readable, host_died, child_ended] = sys::poll_readable(polled, timeout)?;
        if host_died {
            return Ok(());
        }
        if engine_readable {
            match channel::receive_into(supervisor.engine.as_fd(), true, &mut buffer)? {
                Some((len, fds)) => match ToJailer::from_bytes(&buffer[..len]) {
                    Some(ToJailer::Quit) | None => return Ok(()),
                    Some(message) => supervisor.handle_message(message, fds)?,
                },
                None => return Ok(()),
            }
        }
        if child_ended {
            sys::drain(signals.as_raw_fd());
            supervisor.reap()?;
        }
        if !engine_readable && !child_ended {
            supervisor.prepare_ahead();
        }
    }
}

/// A run in its jail.
struct Active {
    id: u64,
    jail: Jail,
    /// Its writable tree, if that is a folder of the host.
    tree: Option<PathBuf>,
}

struct Supervisor {
    engine: OwnedFd,
    builder: JailResult<Builder>,
    /// The folder of the runs' writable trees, at the reduced level.
    workplace: Option<Workplace>,
    runs: HashMap<libc::pid_t, Active>,
    /// Jails without a run, by the needs that they were made for; the least recently used needs come first.
    ready: Vec<(Needs, Vec<Jail>)>,
}

fn hand_over(jail: &Jail, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    // The jail's id becomes the owner of the streams, so that the program can open /dev/stdout again.
    for stream in fds.get(2..).unwrap_or_default() {
        let _ = sys::own_pipe(*stream, jail.host_id, jail.host_id);
    }
    channel::send_bytes(jail.parent_socket.as_fd(), init::RUN, fds)
}

fn none_yet() -> Trouble {
    trouble("jailer", "choose a level")(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// A builder without namespaces, and the folder for its runs.
fn reduced(temporary: &Path) -> JailResult<(Builder, Workplace)> {
    if landlock::kernel_abi() == 0 {
        return Err(trouble("landlock", "the kernel has no Landlock")(
            io::Error::from_raw_os_error(libc::ENOSYS),
        ));
    }
    // Orphans of a run whose init has been killed become children of this process.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
        .map_err(trouble("processes", "become a subreaper"))?;
    let workplace = Workplace::make(temporary).map_err(|error| {
        trouble("temporary directory", &format!("make a folder in {}", temporary.display()))(error)
    })?;
    let builder = Builder::reduced()?;
    if builder.groups.is_err() {
        seen_processes()
            .map_err(trouble("processes", "look at those of runs: /proc has hidepid"))?;
    }
    Ok((builder, workplace))
}

/// A process of a run that is not shown is neither ended nor counted, unless a control group names it.
fn seen_processes() -> io::Result<()> {
    match proc::hides_processes(&fs::read_to_string("/proc/self/mountinfo")?) {
        true => Err(io::Error::from_raw_os_error(libc::EACCES)),
        false => Ok(()),
    }
}

impl Supervisor {
    /// At the full level, this builds a jail before the level is reported. A failure leaves this process in half-made
    /// namespaces, so the engine starts another jailer for the reduced level.
    fn choose_level(&mut self, start: &Start) {
        if !start.full {
            self.builder = reduced(&start.temporary).map(|(builder, workplace)| {
                self.workplace = Some(workplace);
                builder
            });
            return;
        }
        self.builder = Builder::full();
        if let Err(trouble) = self.try_one() {
            self.builder = Err(trouble);
        }
    }

    /// Builds a jail and waits for its init's report. The jail becomes the first that is kept ready.
    fn try_one(&mut self) -> JailResult<()> {
        let jail = self.build(&Needs::USUAL)?;
        let finished = jail.await_ready();
        match finished {
            Ok(()) => self.ready.push((Needs::USUAL, vec![jail])),
            Err(_) => self.retire(jail),
        }
        finished
    }

    fn greet(&self) -> io::Result<()> {
        let base = self.workplace.as_ref().map_or(String::new(), Workplace::path);
        let (level, layers, missing) = match &self.builder {
            Ok(builder) => builder.layers(),
            Err(_) => (LEVEL_NONE, Vec::new(), Vec::new()),
        };
        let trouble = self.builder.as_ref().err().cloned();
        let hello = FromJailer::Hello { trouble, level, layers, missing, base };
        // The host is not the parent of this process, so it needs a pidfd to wait for it.
        let own = sys::open_process(std::process::id() as libc::pid_t)?;
        channel::send(self.engine.as_fd(), &hello, &[own.as_fd()])
    }

    /// How long to wait for an event before jails are prepared or remains removed.
    fn timeout(&self) -> Option<Duration> {
        match self.wanting() {
            // One jail is ready, so the run that has just begun gets the processors first.
            Some(index) if !self.ready[index].1.is_empty() && !self.runs.is_empty() => Some(PAUSE),
            Some(_) => Some(Duration::ZERO),
            None => self.builder.as_ref().is_ok_and(Builder::has_leftovers).then_some(QUIET),
        }
    }

    fn handle_message(&mut self, message: ToJailer, fds: Vec<OwnedFd>) -> io::Result<()> {
        match message {
            ToJailer::Spawn { id, needs, tree } => {
                let tree = self.workplace.as_ref().map(|_| PathBuf::from(tree));
                if let Err(trouble) = self.spawn(id, needs, tree, fds) {
                    self.send(&FromJailer::Refused { id, trouble })?;
                }
            }
            ToJailer::Kill { id } => {
                if let Some((pid, _)) = self.runs.iter().find(|(_, active)| active.id == id) {
                    let _ = sys::kill(*pid, libc::SIGKILL);
                }
                self.send(&FromJailer::Killing { id })?;
            }
            ToJailer::Probe => {
                let report = probe::layers(&mut self.builder);
                self.send(&report)?;
            }
            ToJailer::Quit => {}
        }
        Ok(())
    }

    fn send(&self, message: &FromJailer) -> io::Result<()> {
        channel::send(self.engine.as_fd(), message, &[])
    }

    fn spawn(
        &mut self,
        id: u64,
        needs: Needs,
        tree: Option<PathBuf>,
        fds: Vec<OwnedFd>,
    ) -> JailResult<()> {
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        while let Some(jail) = self.take_ready(&needs) {
            match hand_over(&jail, &fds) {
                Ok(()) => {
                    self.runs.insert(jail.pid, Active { id, jail, tree });
                    return Ok(());
                }
                // Its idle init has been killed.
                Err(_) => self.retire(jail),
            }
        }
        let jail = self.build(&needs)?;
        let handed = hand_over(&jail, &fds);
        self.runs.insert(jail.pid, Active { id, jail, tree });
        handed.map_err(trouble("streams", "hand over the run"))
    }

    fn build(&mut self, needs: &Needs) -> JailResult<Jail> {
        match &mut self.builder {
            Ok(builder) => builder.build(needs),
            Err(trouble) => Err(Trouble::clone(trouble)),
        }
    }

    fn take_ready(&mut self, needs: &Needs) -> Option<Jail> {
        let position = self.ready.iter().position(|(kind, _)| kind == needs);
        let mut kind = match position {
            Some(position) => self.ready.remove(position),
            None => (needs.clone(), Vec::new()),
        };
        let mut taken = kind.1.pop();
        // The host may have replaced shown files since it was made.
        while let Some(stale) = taken.take_if(|jail| !self.shows_what_is_there(jail, needs)) {
            self.retire(stale);
            taken = kind.1.pop();
        }
        self.ready.push(kind);
        if self.ready.len() > KINDS_MAX {
            for unused in self.ready.remove(0).1 {
                self.retire(unused);
            }
        }
        taken
    }

    fn shows_what_is_there(&self, jail: &Jail, needs: &Needs) -> bool {
        self.builder.as_ref().is_ok_and(|builder| builder.is_current(jail, &needs.show))
    }

    fn retire(&mut self, jail: Jail) {
        let _ = sys::kill(jail.pid, libc::SIGKILL);
        self.runs.insert(jail.pid, Active { id: NO_RUN, jail, tree: None });
    }

    /// The index of the needs for which a jail should be made now; the most recently used come first.
    fn wanting(&self) -> Option<usize> {
        self.builder.as_ref().ok()?;
        (0..self.ready.len()).rev().find(|&index| self.ready[index].1.len() < READY_EACH)
    }

    fn prepare_ahead(&mut self) {
        let wanting = self.wanting();
        let Ok(builder) = &mut self.builder else { return };
        builder.remove_pending_groups();
        let Some(index) = wanting else {
            builder.remove_used_groups();
            return;
        };
        let needs = self.ready[index].0.clone();
        match builder.build_ahead(&needs) {
            Ok(jail) => self.ready[index].1.push(jail),
            // The next run with these needs fails in the same way and reports it.
            Err(_) => {
                let (_, others) = self.ready.remove(index);
                others.into_iter().for_each(|jail| self.retire(jail));
            }
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        while let Ok(Some(reaped)) = sys::reap(false) {
            if let Some(Active { id, jail, tree }) = self.runs.remove(&reaped.pid) {
                let end = reaped.end();
                if let Some(tree) = tree {
                    self.clean_up_after(&tree, end != Ok(0));
                }
                if id != NO_RUN {
                    let out_of_memory = end.is_err() && jail.was_out_of_memory();
                    self.send(&FromJailer::Exited { id, out_of_memory })?;
                }
                self.recycle(jail, id == NO_RUN || end == Ok(init::NETWORK_UNUSED));
            } else {
                self.remove_ready(reaped.pid);
            }
        }
        Ok(())
    }

    fn inits(&self) -> Vec<libc::pid_t> {
        let ready = self.ready.iter().flat_map(|(_, jails)| jails).map(|jail| jail.pid);
        self.runs.keys().copied().chain(ready).collect()
    }

    /// Ends the processes of a killed init and removes the run's folder. An init that ended by itself has done both,
    /// except for the folder, which only root may remove where the host is root.
    fn clean_up_after(&self, tree: &Path, killed: bool) {
        if killed {
            let own = std::process::id() as libc::pid_t;
            let inits = self.inits();
            let strays = || tree::below(own, &inits);
            let deadline = Instant::now() + KILL_WAIT;
            while !tree::kill_all(strays) && Instant::now() < deadline {
                std::thread::sleep(BETWEEN_TRIES);
                for stray in strays() {
                    let _ = sys::reap_child(stray);
                }
            }
        }
        let _ = folder::remove(tree);
    }

    /// Removes an idle jail whose init was killed from outside.
    fn remove_ready(&mut self, pid: libc::pid_t) {
        let kinds = self.ready.iter_mut();
        let ended: Vec<Jail> =
            kinds.flat_map(|(_, ready)| ready.extract_if(.., |jail| jail.pid == pid)).collect();
        ended.into_iter().for_each(|jail| self.recycle(jail, true));
    }

    /// Ends every jail and waits for it, so that its control group can be removed as well.
    fn end_everything(&mut self) {
        let ready = std::mem::take(&mut self.ready).into_iter().flat_map(|(_, jails)| jails);
        let running = std::mem::take(&mut self.runs).into_values().map(|active| active.jail);
        let jails: Vec<Jail> = running.chain(ready).collect();
        let full = self.builder.as_ref().is_ok_and(Builder::is_full);
        for jail in jails.iter().filter(|_| full) {
            let _ = sys::kill(jail.pid, libc::SIGKILL);
        }
        // Inits without a pid namespace end their processes and remove their folders themselves, once their parent
        // socket is closed.
        let mut inits: Vec<_> = jails.iter().map(|jail| jail.pid).collect();
        drop(jails);
        while !inits.is_empty()
            && let Ok(reaped) = sys::reap(true)
        {
            inits.retain(|pid| reaped.is_none_or(|reaped| reaped.pid != *pid));
        }
        if !full {
            // The processes of a killed init have become children of this process.
            tree::end(tree::own, || std::thread::sleep(BETWEEN_TRIES));
        }
        drop(self.workplace.take());
    }

    fn recycle(&mut self, jail: Jail, network_is_unused: bool) {
        if let Ok(builder) = &mut self.builder {
            builder.recycle(jail, network_is_unused);
        }
    }
}
