// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network namespaces. They take the kernel longer to make than all other layers together, so one is used again
//! where nothing can be left in it: no program had a socket of it, of which the init hears (`notify.rs`), and no
//! local socket is on its way out. What sockets leave behind cannot be told from outside: delayed reports of
//! multicast, measured round trips, routes, fragments.

use crate::layers::ablation::{Layer, is_left_out};
use crate::proc;
use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub struct Networks {
    /// This process's own, which no run is in: a socket is listed in the namespace that it was made in.
    home: OwnedFd,
    unused: Vec<OwnedFd>,
}

/// Kept beyond this they only cost memory.
const UNUSED_MAX: usize = 64;

/// What one TCP socket's buffers come to at most. The kernel lets them grow to 36 MB each, which no memory
/// limit counts where there is no control group.
const BUFFERS: [(&str, &str); 2] =
    [("tcp_rmem", "4096 131072 212992"), ("tcp_wmem", "4096 16384 212992")];

impl Networks {
    /// Takes this process into an empty one: to that of the host only root could come back.
    pub fn new() -> io::Result<Networks> {
        if !is_left_out(Layer::Network) {
            sys::unshare(libc::CLONE_NEWNET)?;
        }
        Ok(Networks { home: current()?, unused: Vec::new() })
    }

    /// Puts this process into an empty namespace, for its next clone to inherit.
    pub fn enter(&mut self) -> io::Result<OwnedFd> {
        if is_left_out(Layer::Network) {
            return current();
        }
        // Looked at here, where jails are made ahead, and not where the end of a run is told.
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
        sys::setns(self.home.as_fd(), libc::CLONE_NEWNET)
    }

    /// Takes one back in which no program had a socket.
    pub fn give_back(&mut self, namespace: OwnedFd) {
        if self.unused.len() < UNUSED_MAX {
            self.unused.push(namespace);
        }
    }
}

fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/net")?.into())
}

/// A local socket outlives its processes for a while where it was on its way over itself, and its name is told.
/// What cannot be looked at may have some.
fn has_no_local_socket() -> bool {
    let table = File::open("/proc/self/net/unix").and_then(|file| proc::whole(&file));
    table.is_ok_and(|table| table.lines().count() == 1) // the head
}
