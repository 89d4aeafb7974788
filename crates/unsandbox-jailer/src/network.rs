// SPDX-License-Identifier: MIT OR Apache-2.0
//! Empty network namespaces. They are the dearest layer, so one is used again once its run has no
//! process left and the kernel holds no connection of it.

use crate::ablation::{Layer, is_left_out};
use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Default)]
pub struct Networks {
    idle: Vec<OwnedFd>,
}

/// Kept ready beyond this they only cost memory.
const IDLE_MAX: usize = 64;

impl Networks {
    /// Puts this process into an empty namespace, for its next clone to inherit.
    pub fn enter(&mut self) -> io::Result<OwnedFd> {
        if is_left_out(Layer::Network) {
            return Ok(File::open("/proc/self/ns/net")?.into());
        }
        if let Some(namespace) = self.idle.pop() {
            sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)?;
            return Ok(namespace);
        }
        sys::unshare(libc::CLONE_NEWNET)?;
        sys::loopback_up()?;
        Ok(File::open("/proc/self/ns/net")?.into())
    }

    /// Takes one back whose run is over.
    pub fn give_back(&mut self, namespace: OwnedFd) {
        if self.idle.len() < IDLE_MAX && is_clean(&namespace) {
            self.idle.push(namespace);
        }
    }
}

/// No TCP connection lingers in it: one in TIME_WAIT would keep its port from the next run.
fn is_clean(namespace: &OwnedFd) -> bool {
    if sys::setns(namespace.as_fd(), libc::CLONE_NEWNET).is_err() {
        return false;
    }
    // The interface's counters would tell the next run what this one has sent itself.
    let unused = fs::read_to_string("/proc/self/net/dev").is_ok_and(|text| {
        let lo = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
        lo.is_some_and(|counts| counts.split_whitespace().take(2).all(|count| count == "0"))
    });
    if !unused {
        return false;
    }
    let Ok(text) = fs::read_to_string("/proc/self/net/sockstat") else { return false };
    let Some(tcp) = text.lines().find_map(|line| line.strip_prefix("TCP: ")) else { return false };
    let words: Vec<&str> = tcp.split(' ').collect();
    let counts = words.chunks_exact(2).filter(|pair| ["inuse", "tw"].contains(&pair[0]));
    counts.clone().count() == 2 && counts.into_iter().all(|pair| pair[1] == "0")
}
