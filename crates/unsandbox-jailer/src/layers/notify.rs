// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers system calls that a filter hands to the init (seccomp user notification). The init knows what a filter
//! cannot: the file of a descriptor, whether a program has used its network namespace, and how much of a quota the run
//! has used. The caller waits in the kernel for the answer.

use crate::layers::quota::{Quota, Quotas};
use crate::sys;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The descriptor by which calls are received.
pub struct Listener(OwnedFd);

/// A call that waits.
type Call = libc::seccomp_notif;

const RECEIVE: libc::Ioctl = libc::SECCOMP_IOCTL_NOTIF_RECV;
const SEND: libc::Ioctl = libc::SECCOMP_IOCTL_NOTIF_SEND;
const IS_VALID: libc::Ioctl = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;

impl Listener {
    /// Installs a filter on this process, for good, which hands calls to the holder of the listener.
    pub fn install(program: &[libc::sock_filter]) -> io::Result<Listener> {
        sys::install_listening_filter(program).map(Listener)
    }

    /// `None` if the caller does not wait any longer.
    fn receive(&self) -> Option<Call> {
        let mut call = MaybeUninit::<Call>::zeroed();
        // SAFETY: the kernel writes one such struct, and wants it zeroed before.
        let received = unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE, call.as_mut_ptr()) };
        // SAFETY: zeroed or written, both are valid.
        sys::check(received).ok().map(|_| unsafe { call.assume_init() })
    }

    fn send(&self, mut answer: libc::seccomp_notif_resp) {
        // SAFETY: the struct outlives the call. A caller that was killed meanwhile takes no answer.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw mut answer) };
    }

    fn still_waits(&self, call: &Call) -> bool {
        let mut id = call.id;
        // SAFETY: the kernel only reads the number.
        unsafe { libc::ioctl(self.0.as_raw_fd(), IS_VALID, &raw mut id) == 0 }
    }
}

/// Answers the calls of a run's programs.
pub struct Calls {
    listener: Option<Listener>,
    /// The writable tree, in which programs may set the times of files.
    tree: PathBuf,
    network: bool,
    quotas: Quotas,
}

impl Calls {
    /// Without a listener the network counts as used.
    pub fn new(listener: Option<Listener>, network_is_used: bool) -> Calls {
        Calls {
            network: network_is_used || listener.is_none(),
            listener,
            tree: PathBuf::new(),
            quotas: Quotas::default(),
        }
    }

    /// Sets the writable tree, which must exist.
    pub fn set_writable_tree(&mut self, tree: &Path) {
        // The links in /proc/self/fd hold paths without symbolic links.
        self.tree = fs::canonicalize(tree).unwrap_or_else(|_| tree.to_path_buf());
    }

    /// Whether a program may have had a socket of the network namespace.
    pub fn has_used_network(&self) -> bool {
        self.network
    }

    /// The descriptor to poll for calls; -1 without a listener.
    pub fn descriptor(&self) -> RawFd {
        self.listener.as_ref().map_or(-1, |listener| listener.0.as_raw_fd())
    }

    /// Answers one call that waits. `processes` are those of the run.
    pub fn answer(&mut self, processes: impl Fn() -> Vec<libc::pid_t>) {
        let Some(listener) = &self.listener else { return };
        let Some(call) = listener.receive() else { return };
        let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags: 0 };
        let number = libc::c_long::from(call.data.nr);
        let allowed = match Quota::of(number) {
            Some(quota) => self.quotas.take(quota, processes),
            None if number == libc::SYS_socket => {
                self.network = true;
                Ok(())
            }
            None => match set_times(listener, &call, &self.tree) {
                Ok(()) => return listener.send(answer),
                Err(error) => Err(error.raw_os_error().unwrap_or(libc::EPERM)),
            },
        };
        match allowed {
            // The decision does not depend on memory of the caller, so the kernel may read the arguments again.
            Ok(()) => answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            Err(errno) => answer.error = -errno,
        }
        listener.send(answer);
    }
}

/// Sets the times of a descriptor's file for the caller, if the file is in the writable tree. The caller may replace
/// the descriptor at any time, so the file is opened once, checked, and changed through that descriptor.
fn set_times(listener: &Listener, call: &Call, tree: &Path) -> io::Result<()> {
    let [number, _, times, flags, ..] = call.data.args;
    let errno = |errno| Err(io::Error::from_raw_os_error(errno));
    if flags as libc::c_int != 0 {
        return errno(libc::EINVAL);
    }
    let path = format!("/proc/{}/fd/{}", call.pid, number as libc::c_int);
    let opened = File::options().read(true).custom_flags(libc::O_PATH).open(path);
    let Ok(file) = opened else { return errno(libc::EBADF) };
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    if !fs::read_link(&own)?.starts_with(tree) {
        return errno(libc::EPERM);
    }
    let times = if times == 0 { NOW } else { times_at(call.pid, times)? };
    if !listener.still_waits(call) {
        return errno(libc::ESRCH); // the number may be another process's by now
    }
    sys::set_times(&sys::c_string(&own)?, &times)
}

/// The times for a null pointer.
const NOW: Timestamps = {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
};

/// Reads two times from the caller's memory. EACCES where the kernel forbids that (Yama's ptrace_scope).
fn times_at(pid: u32, address: u64) -> io::Result<Timestamps> {
    let mut bytes = [0u8; 32];
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    memory
        .read_exact_at(&mut bytes, address)
        .map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    let word = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let time = |at| Timespec { tv_sec: word(at), tv_nsec: word(at + 8) };
    Ok(Timestamps { last_access: time(0), last_modification: time(16) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_with_sockets_of_the_init_counts_as_used() {
        let listener = || Some(Listener(File::open("/dev/null").unwrap().into()));
        assert!(!Calls::new(listener(), false).has_used_network());
        assert!(Calls::new(listener(), true).has_used_network(), "a gateway's sockets");
        assert!(Calls::new(None, false).has_used_network(), "nobody saw what programs did");
    }
}
