// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network namespaces. The kernel takes longer to make one than for all other layers together, so one is used again
//! where nothing can be left in it: no program had a socket in it (the init knows, see `notify.rs`), and no local socket
//! is still closing. Sockets of a network leave state that cannot be seen from outside: delayed multicast reports,
//! measured round trips, routes, fragments.

use crate::layers::ablation::{Layer, is_left_out};
use crate::proc;
use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub struct Networks {
    /// The namespace of this process, in which there is no run: a socket is listed in the namespace of its creation.
    own_namespace: OwnedFd,
    unused: Vec<OwnedFd>,
}

/// More than this would only cost memory.
const UNUSED_MAX: usize = 64;

/// The largest buffers of a TCP socket. The kernel would let them grow to 36 MB each, which no memory limit counts where
/// there is no control group.
const BUFFERS: [(&str, &str); 2] =
    [("tcp_rmem", "4096 131072 212992"), ("tcp_wmem", "4096 16384 212992")];

impl Networks {
    /// Moves this process into an empty namespace, because only root could return to that of the host.
    pub fn new() -> io::Result<Networks> {
        if !is_left_out(Layer::Network) {
            sys::unshare(libc::CLONE_NEWNET)?;
        }
        Ok(Networks { own_namespace: current()?, unused: Vec::new() })
    }

    /// Puts this process into an empty namespace, for its next clone to inherit.
    pub fn enter(&mut self) -> io::Result<OwnedFd> {
        if is_left_out(Layer::Network) {
            return current();
        }
        // Checked here, where jails are made ahead, and not at the end of a run, which would delay its result.
        while let Some(namespace) = self.unused.pop() {
            sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)?;
            if has_no_local_socket() {
                return Ok(namespace);
            }
        }
        sys::unshare(libc::CLONE_NEWNET)?;
        sys::loopback_up()?;
        for (name, bytes) in BUFFERS {
            // Best effort: a container may have its /proc/sys read-only.
            let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), bytes);
        }
        current()
    }

    pub fn leave(&self) -> io::Result<()> {
        sys::setns(self.own_namespace.as_fd(), libc::CLONE_NEWNET)
    }

    /// Keeps a namespace in which no program had a socket.
    pub fn give_back(&mut self, namespace: OwnedFd) {
        if self.unused.len() < UNUSED_MAX {
            self.unused.push(namespace);
        }
    }
}

fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// A local socket outlives its processes for a while if it was in transit over itself, and others can then list its
/// name. False if the table cannot be read.
fn has_no_local_socket() -> bool {
    let table = File::open("/proc/thread-self/net/unix").and_then(|file| proc::whole(&file));
    table.is_ok_and(|table| table.lines().count() == 1) // the head
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    fn inode(namespace: &OwnedFd) -> u64 {
        rustix::fs::fstat(namespace).unwrap().st_ino
    }

    #[test]
    fn a_namespace_with_a_local_socket_is_not_used_again() {
        // In a thread of its own: a thread that has changed its namespace stays there.
        let test = std::thread::spawn(|| {
            let mut networks = match Networks::new() {
                Ok(networks) => networks,
                Err(error) => {
                    let line = format!("\nskipped: a network namespace of a thread: {error}\n");
                    return std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            };
            let first = networks.enter().unwrap();
            let first_inode = inode(&first);
            networks.give_back(first);
            let same = networks.enter().unwrap();
            assert_eq!(inode(&same), first_inode);
            let name = SocketAddr::from_abstract_name("left").unwrap();
            let _left = UnixListener::bind_addr(&name).unwrap();
            networks.give_back(same);
            assert_ne!(inode(&networks.enter().unwrap()), first_inode);
        });
        test.join().unwrap();
    }
}
