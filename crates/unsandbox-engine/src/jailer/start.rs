// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! Starts the jailer from the bytes inside this library, and waits for its end. This is the only unsafe code of the
//! engine. Between clone and exec it makes only raw system calls on memory that was prepared before, because the host
//! may have any number of threads.

use crate::programs::plan::TMP;
use crate::programs::temporary;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_jailer::ENGINE_FD;
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::message::{FromJailer, LEVEL_FULL, LEVEL_REDUCED, ToJailer, Trouble};
use unsandbox_protocol::{Error, ErrorCode, IsolationPolicy, Level};

static PROGRAM: &[u8] = include_bytes!(env!("UNSANDBOX_JAILER_PROGRAM"));

/// How long a jailer may take to its first message. It builds one jail before, which takes milliseconds, but the
/// machine may be busy.
const START_TIME: Duration = Duration::from_secs(30);
/// How long it may take to end every run.
const END_TIME: Duration = Duration::from_secs(10);

/// A running jailer.
#[derive(Debug)]
pub struct Jailer {
    pub socket: OwnedFd,
    pub pidfd: OwnedFd,
    pub hello: Hello,
    /// The reason why it is not at the full level, if that was tried first.
    pub fell_back: Option<Trouble>,
}

/// The first message of a jailer.
#[derive(Clone, Debug)]
pub struct Hello {
    pub trouble: Option<Trouble>,
    pub level: Option<Level>,
    pub layers: Vec<String>,
    pub missing: Vec<String>,
    /// The host's folder for writable trees; empty if each run mounts its own.
    pub base: String,
}

/// The level of a message.
pub fn level_of(number: u8) -> Option<Level> {
    match number {
        LEVEL_FULL => Some(Level::Full),
        LEVEL_REDUCED => Some(Level::Reduced),
        _ => None,
    }
}

fn unavailable(what: &str, error: &io::Error, fix: &str) -> Error {
    Error::new(
        ErrorCode::IsolationUnavailable,
        format!("the jailer could not be started: {what}: {error}; {fix}"),
    )
}

fn not_running(what: &str, fix: &str) -> Error {
    Error::new(ErrorCode::IsolationUnavailable, format!("the jailer {what}; {fix}"))
}

impl Jailer {
    /// Whether each run gets a mount of its own for its writable tree.
    pub fn has_own_trees(&self) -> bool {
        self.hello.base.is_empty()
    }

    /// The host's folder for writable trees; `None` if each run mounts its own.
    pub fn base(&self) -> Option<PathBuf> {
        (!self.has_own_trees()).then(|| PathBuf::from(&self.hello.base))
    }

    /// The path of a run's writable tree inside the run.
    pub fn tree(&self, id: u64) -> String {
        if self.has_own_trees() { TMP.to_string() } else { format!("{}/{id}", self.hello.base) }
    }

    /// Starts a jailer at the best level that the policy and this machine allow. If none works, its `hello` has the
    /// reason.
    pub fn start(policy: IsolationPolicy) -> Result<Jailer, Error> {
        if policy == IsolationPolicy::Reduced {
            return Jailer::start_reduced();
        }
        let full = Jailer::start_at(Level::Full)?;
        let Some(why) = &full.hello.trouble else { return Ok(full) };
        if policy == IsolationPolicy::Full {
            return Ok(full);
        }
        full.end();
        let reduced = Jailer::start_reduced()?;
        if let Some(nor) = &reduced.hello.trouble {
            let trouble = Some(neither(why, nor));
            return Ok(Jailer { hello: Hello { trouble, ..full.hello.clone() }, ..reduced });
        }
        log::warn!("isolation is reduced: the {}: {}; {}", why.layer, why.what, why.fix);
        Ok(Jailer { fell_back: Some(why.clone()), ..reduced })
    }

    fn start_reduced() -> Result<Jailer, Error> {
        let jailer = Jailer::start_at(Level::Reduced)?;
        if let Some(why) = temporary::noexec(Path::new(&jailer.hello.base)) {
            log::warn!("{why}; {}", temporary::NOEXEC_FIX);
        }
        Ok(jailer)
    }

    /// Starts a jailer and reads its first message.
    fn start_at(level: Level) -> Result<Jailer, Error> {
        let general = "check the limits on processes and open files";
        let broken =
            |what: &'static str| move |error: io::Error| unavailable(what, &error, general);
        let program = program()?;
        let (socket, theirs) = channel::pair().map_err(broken("make a socket"))?;
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = null.map_err(broken("open /dev/null"))?;
        // Above all numbers of the child's descriptors, whatever the host has open.
        let high = |fd: &dyn AsFd| {
            rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), ENGINE_FD + 1)
                .map_err(|error| broken("duplicate a descriptor")(error.into()))
        };
        let (program, theirs) = (high(&program)?, high(&theirs)?);
        let null = high(&null)?;
        clone_and_exec(&program, level, [&null, &null, &null, &theirs]).map_err(broken("clone"))?;
        drop((program, theirs, null));
        let first = receive_within(&socket, START_TIME).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                let seconds = START_TIME.as_secs();
                let what = format!("did not answer within {seconds} s after its start");
                not_running(&what, general)
            }
            _ => unavailable("receive its first message", &error, general),
        })?;
        let hello = first.and_then(|(bytes, fds)| {
            Some((FromJailer::from_bytes(&bytes)?, fds.into_iter().next()?))
        });
        let Some((FromJailer::Hello { trouble, level, layers, missing, base }, pidfd)) = hello
        else {
            return Err(not_running(
                "exited immediately after its start",
                "where memfds may not be executed (vm.memfd_noexec), set UNSANDBOX_JAILER to the \
                 copy that `make install` puts in libexec",
            ));
        };
        let hello = Hello { trouble, level: level_of(level), layers, missing, base };
        Ok(Jailer { socket, pidfd, hello, fell_back: None })
    }

    /// Ends the jailer with all its runs.
    pub fn end(&self) {
        let asked = channel::try_send(self.socket.as_fd(), &ToJailer::Quit, &[]);
        if asked.is_err() || !is_readable_within(&self.pidfd, END_TIME) {
            log::error!("the jailer does not end and is killed");
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        }
        self.wait();
    }

    /// Blocks until it has ended.
    pub fn wait(&self) {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        while poll(&mut ended, None) == Err(Errno::INTR) {}
        // If the host is the first process or a subreaper, orphaned processes become its children.
        let _ = reap(libc::P_PIDFD, self.pidfd.as_raw_fd() as libc::id_t);
    }
}

/// Whether `fd` becomes readable within `timeout`.
fn is_readable_within(fd: &OwnedFd, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(rest).ok();
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], timeout.as_ref()) {
            Err(Errno::INTR) => {}
            told => return told.is_ok_and(|count| count > 0),
        }
    }
}

/// Receives one message; an error if none comes within `timeout`.
fn receive_within(socket: &OwnedFd, timeout: Duration) -> io::Result<Option<Received>> {
    if !is_readable_within(socket, timeout) {
        let text = format!("no answer within {} s", timeout.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    }
    channel::receive(socket.as_fd())
}

type Received = (Vec<u8>, Vec<OwnedFd>);

/// The reason why no level works.
fn neither(full: &Trouble, reduced: &Trouble) -> Trouble {
    if full.layer == reduced.layer {
        return full.clone();
    }
    Trouble {
        what: format!(
            "{}, and at the reduced level the {}: {}",
            full.what, reduced.layer, reduced.what
        ),
        fix: format!("{}; or, for the reduced level: {}", full.fix, reduced.fix),
        ..full.clone()
    }
}

/// The program as an open file: sealed in memory, or the one that UNSANDBOX_JAILER names.
fn program() -> Result<OwnedFd, Error> {
    if let Some(path) = std::env::var_os("UNSANDBOX_JAILER") {
        return installed_program(&path).map_err(|error| {
            Error::new(ErrorCode::Config, format!("UNSANDBOX_JAILER is {path:?}: {error}"))
        });
    }
    sealed_program().map_err(|error| {
        unavailable(
            "put it into a memfd",
            &error,
            "memory may be exhausted, or memfd_create refused",
        )
    })
}

fn sealed_program() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not have the flag for an executable memfd.
    let memfd = rustix::fs::memfd_create("unsandbox-jailer", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("unsandbox-jailer", flags))?;
    let mut file = File::from(memfd);
    file.write_all(PROGRAM)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

fn installed_program(path: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if bytes != PROGRAM {
        let text = "it is not the jailer of this version of the library; run `make install` again";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(file.into())
}

/// Waits for a child, whatever signal it sends, and returns its exit code; 0 if it was killed, or if there is no such
/// child.
fn reap(kind: libc::idtype_t, id: libc::id_t) -> i32 {
    // SAFETY: an all-zero siginfo is valid and outlives the call, which fills it in.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while libc::waitid(kind, id, &mut info, libc::WEXITED | libc::__WALL) < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return 0; // not a child of this process, or another waitpid(-1) was faster
            }
        }
        if info.si_code == libc::CLD_EXITED { info.si_status() } else { 0 }
    }
}

/// Clones this process twice and executes `program` in the second copy, with `fds` as its descriptors
/// 0, 1, 2, … The first copy ends at once, so that the host has no child: an executed program sends SIGCHLD at its end
/// and is seen by waitpid(-1), however it was cloned, and a host that waits for all its children would wait for the
/// jailer too.
fn clone_and_exec(program: &OwnedFd, level: Level, fds: [&OwnedFd; 4]) -> io::Result<()> {
    const _: () = assert!(ENGINE_FD == 3);
    let path = format!("/proc/self/fd/{}\0", program.as_raw_fd());
    let host = format!("{}\0", std::process::id());
    let level = format!("{}\0", level.as_str());
    let mut temporary = temporary::folder().into_os_string().into_vec();
    temporary.push(0);
    let argv = [
        c"unsandbox-jailer".as_ptr(),
        host.as_ptr().cast(),
        level.as_ptr().cast(),
        temporary.as_ptr().cast(),
        std::ptr::null(),
    ];
    let envp: [*const libc::c_char; 1] = [std::ptr::null()];
    let fds = fds.map(AsRawFd::as_raw_fd);
    let zero: libc::c_ulong = 0;
    // SAFETY: without CLONE_VM the copies have copies of everything prepared above, and call only
    // async-signal-safe functions until they execute or exit.
    unsafe {
        // No exit signal: the host's SIGCHLD handler and waitpid(-1) do not see this child.
        let pid = libc::syscall(libc::SYS_clone, zero, zero, zero, zero, zero);
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid > 0 {
            return match reap(libc::P_PID, pid as libc::id_t) {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            };
        }
        let first = libc::getpid();
        let second = libc::syscall(libc::SYS_clone, zero, zero, zero, zero, zero);
        if second < 0 {
            libc::_exit(*libc::__errno_location());
        }
        if second > 0 {
            // Until it is killed, or until the second copy has ended without that.
            libc::waitpid(second as libc::pid_t, std::ptr::null_mut(), libc::__WALL);
            libc::_exit(0);
        }
        // The first copy neither exits nor kills itself: a memory checker that runs the host would report on it.
        if libc::getppid() == first {
            libc::kill(first, libc::SIGKILL);
        }
        for (number, fd) in fds.iter().enumerate() {
            libc::dup2(*fd, number as RawFd);
        }
        let (first, last) = (fds.len() as libc::c_uint, libc::c_uint::MAX);
        libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC);
        libc::execve(path.as_ptr().cast(), argv.as_ptr(), envp.as_ptr());
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
        libc::_exit(127)
    }
}

/// Blocks all signals of the host on the calling thread.
pub fn block_signals() {
    // SAFETY: an all-zero sigset is filled before use, and outlives the call.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_the_first_message_of_a_jailer_is_bounded() {
        let (socket, other) = channel::pair().unwrap();
        let silent = receive_within(&socket, Duration::from_millis(20)).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        channel::send_bytes(other.as_fd(), b"word", &[]).unwrap();
        let said = receive_within(&socket, Duration::from_secs(10)).unwrap();
        assert_eq!(said.unwrap().0, b"word");
        drop(other);
        assert!(receive_within(&socket, Duration::from_secs(10)).unwrap().is_none());
    }
}
