// SPDX-License-Identifier: MIT OR Apache-2.0
//! Empty network namespaces. They are the dearest layer, so one is used again once its run has no
//! process left, the kernel holds no connection of it, and nothing can be told from it.

use crate::ablation::{Layer, is_left_out};
use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Default)]
pub struct Networks {
    idle: Vec<OwnedFd>,
    /// What the files of [`TELLING`] say in a namespace that nobody has used.
    unused: Option<[String; TELLING.len()]>,
}

/// Kept ready beyond this they only cost memory.
const IDLE_MAX: usize = 64;

/// Counters of a namespace, which any program in it reads: left as they are, a run would learn from them
/// what the one before it did, or be sent words by it. They move with every packet, and with every one
/// that could not be sent, so that a namespace where they are as in the beginning was not used.
const TELLING: [&str; 4] = ["dev", "snmp", "snmp6", "netstat"];

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
        if self.unused.is_none() {
            self.unused = Some(TELLING.map(told));
        }
        Ok(File::open("/proc/self/ns/net")?.into())
    }

    /// Takes one back whose run is over.
    pub fn give_back(&mut self, namespace: OwnedFd) {
        if self.idle.len() < IDLE_MAX && self.is_as_new(&namespace) {
            self.idle.push(namespace);
        }
    }

    fn is_as_new(&self, namespace: &OwnedFd) -> bool {
        let Some(unused) = &self.unused else { return false };
        sys::setns(namespace.as_fd(), libc::CLONE_NEWNET).is_ok()
            && TELLING.iter().zip(unused).all(|(name, before)| told(name) == *before)
            && has_no_connection()
    }
}

/// Empty where the kernel has no such file, as one without IPv6.
fn told(name: &str) -> String {
    fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default()
}

/// No TCP connection lingers: one in TIME_WAIT would keep its port from the next run.
fn has_no_connection() -> bool {
    let text = told("sockstat");
    let Some(tcp) = text.lines().find_map(|line| line.strip_prefix("TCP: ")) else { return false };
    let words: Vec<&str> = tcp.split(' ').collect();
    let counts = words.chunks_exact(2).filter(|pair| ["inuse", "tw"].contains(&pair[0]));
    counts.clone().count() == 2 && counts.into_iter().all(|pair| pair[1] == "0")
}
