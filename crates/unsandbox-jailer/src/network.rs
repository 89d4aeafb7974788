// SPDX-License-Identifier: MIT OR Apache-2.0
//! Empty network namespaces. They are the dearest layer, so one is used again once its run has no
//! process left, the kernel holds no connection of it, and nothing can be told from it.

use crate::ablation::{Layer, is_left_out};
use crate::{proc, sys};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

#[derive(Default)]
pub struct Networks {
    used: Vec<OwnedFd>,
    /// What the files of [`TELLING`] say in a namespace that nobody has used.
    unused: Option<[String; TELLING.len()]>,
}

/// Kept beyond this they only cost memory.
const USED_MAX: usize = 64;

/// What a namespace remembers and any program in it reads: left as it is, a run would learn from it what
/// the one before did, or be sent words by it. `dev` moves with every packet on the loopback device, as
/// does all that `netstat` counts; the others with what was never sent (`snmp`, `snmp6`), routes of IPv6
/// that were looked up, and flow labels, which outlive their sockets.
const TELLING: [&str; 5] = ["dev", "snmp", "snmp6", "rt6_stats", "ip6_flowlabel"];

/// What one TCP socket's buffers come to at most. The kernel lets them grow to 36 MB each, which no memory
/// limit counts where there is no control group.
const BUFFERS: [(&str, &str); 2] =
    [("tcp_rmem", "4096 131072 212992"), ("tcp_wmem", "4096 16384 212992")];

impl Networks {
    /// Puts this process into an empty namespace, for its next clone to inherit.
    pub fn enter(&mut self) -> io::Result<OwnedFd> {
        if is_left_out(Layer::Network) {
            return Ok(File::open("/proc/self/ns/net")?.into());
        }
        // Looked at here, where jails are made ahead, and not where the end of a run is told.
        while let Some(namespace) = self.used.pop() {
            sys::setns(namespace.as_fd(), libc::CLONE_NEWNET)?;
            if self.is_as_new() {
                return Ok(namespace);
            }
        }
        sys::unshare(libc::CLONE_NEWNET)?;
        sys::loopback_up()?;
        for (name, bytes) in BUFFERS {
            // Best effort: a container may have its /proc/sys read-only.
            let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), bytes);
        }
        if self.unused.is_none() {
            self.unused = all_told().ok();
        }
        Ok(File::open("/proc/self/ns/net")?.into())
    }

    /// Takes one back whose run is over.
    pub fn give_back(&mut self, namespace: OwnedFd) {
        if self.used.len() < USED_MAX {
            self.used.push(namespace);
        }
    }

    /// Whether the namespace that this process is in is as one that nobody has used. What cannot be told
    /// is not.
    fn is_as_new(&self) -> bool {
        let Some(unused) = &self.unused else { return false };
        all_told().is_ok_and(|told| told == *unused) && has_no_connection()
    }
}

fn all_told() -> io::Result<[String; TELLING.len()]> {
    let mut all = TELLING.map(|_| String::new());
    for (text, name) in all.iter_mut().zip(TELLING) {
        *text = told(name)?;
    }
    Ok(all)
}

/// Empty where the kernel has no such file, as one without IPv6.
fn told(name: &str) -> io::Result<String> {
    match File::open(format!("/proc/self/net/{name}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        opened => proc::whole(&opened?),
    }
}

/// No TCP connection lingers: one in TIME_WAIT would keep its port from the next run.
fn has_no_connection() -> bool {
    let text = told("sockstat").unwrap_or_default();
    let Some(tcp) = text.lines().find_map(|line| line.strip_prefix("TCP: ")) else { return false };
    let words: Vec<&str> = tcp.split(' ').collect();
    let counts = words.chunks_exact(2).filter(|pair| ["inuse", "tw"].contains(&pair[0]));
    counts.clone().count() == 2 && counts.into_iter().all(|pair| pair[1] == "0")
}
