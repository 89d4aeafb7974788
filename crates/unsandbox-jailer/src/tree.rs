// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds and ends the processes of a run without a pid namespace. They are the descendants of the init, because it is
//! the subreaper of every orphan.

use crate::proc;
use crate::sys;
use std::collections::HashMap;
use std::time::Duration;

/// How long to wait between tries to end processes.
pub const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// How many rounds stop processes before the rest is killed: each round can only find children that were forked during
/// the previous one.
const ROUNDS: usize = 64;

/// Every descendant of `root`, without it.
pub fn descendants(root: libc::pid_t) -> Vec<libc::pid_t> {
    below(root, &[])
}

/// Every descendant of `root`, without it, and without its children `except` and what is below them.
pub fn below(root: libc::pid_t, except: &[libc::pid_t]) -> Vec<libc::pid_t> {
    let mut children: HashMap<libc::pid_t, Vec<libc::pid_t>> = HashMap::new();
    for pid in proc::all() {
        if let Some(parent) = proc::parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&root).unwrap_or_default();
    found.retain(|pid| !except.contains(pid));
    let mut index = 0;
    while index < found.len() {
        found.extend(children.remove(&found[index]).unwrap_or_default());
        index += 1;
    }
    found
}

/// Every descendant of this process.
pub fn own() -> Vec<libc::pid_t> {
    descendants(std::process::id() as libc::pid_t)
}

/// Ends every process that `find` finds, and every child of this one, and reaps them. Between the tries
/// it calls `wait`: a process may be in the kernel for long, and the caller may have other work.
pub fn end(find: impl Fn() -> Vec<libc::pid_t>, mut wait: impl FnMut()) {
    while !end_once(&find) {
        wait();
    }
}

/// Stops them first, so that none forks while the others are killed. True if there are none left, nor
/// children of this process.
fn end_once(find: impl Fn() -> Vec<libc::pid_t>) -> bool {
    kill_all(&find);
    // Orphans become children of this process and are reaped.
    loop {
        match sys::reap(false) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// True if there was none.
pub fn kill_all(find: impl Fn() -> Vec<libc::pid_t>) -> bool {
    let mut stopped = Vec::new();
    for _ in 0..ROUNDS {
        let found = find();
        let new: Vec<_> = found.iter().filter(|pid| !stopped.contains(*pid)).copied().collect();
        for pid in &new {
            let _ = sys::kill(*pid, libc::SIGSTOP);
        }
        stopped = found;
        if new.is_empty() {
            break;
        }
    }
    for pid in &stopped {
        let _ = sys::kill(*pid, libc::SIGKILL);
    }
    stopped.is_empty()
}
