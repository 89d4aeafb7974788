// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of one run, and what its folder holds, where no namespace bounds them: found by
//! walking down from the init, to which every orphan returns (it is their subreaper).

use crate::sys;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Rounds of stopping before what is left is killed as it is: each round can only meet children that
/// were forked during the one before.
const ROUNDS: usize = 64;

/// Every descendant of `root`, without it.
pub fn descendants(root: libc::pid_t) -> Vec<libc::pid_t> {
    let mut children: HashMap<libc::pid_t, Vec<libc::pid_t>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut index = 0;
    while index < found.len() {
        found.extend(children.remove(&found[index]).unwrap_or_default());
        index += 1;
    }
    found
}

fn parent_of(pid: libc::pid_t) -> Option<libc::pid_t> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Ends every descendant of this process. They are stopped first, so that none forks while the others
/// are killed.
pub fn end() {
    let own = std::process::id() as libc::pid_t;
    let mut stopped = Vec::new();
    for _ in 0..ROUNDS {
        let found = descendants(own);
        let new: Vec<_> = found.iter().filter(|pid| !stopped.contains(*pid)).copied().collect();
        for pid in &new {
            let _ = sys::kill(*pid, libc::SIGSTOP);
        }
        stopped = found;
        if new.is_empty() {
            break;
        }
    }
    while !stopped.is_empty() {
        for pid in &stopped {
            let _ = sys::kill(*pid, libc::SIGKILL);
        }
        // Those that die are orphaned to us, and reaped.
        while sys::reap(false).is_ok_and(|reaped| reaped.is_some()) {}
        std::thread::yield_now();
        stopped = descendants(own);
    }
}

/// Processes and threads of a user of this machine: what RLIMIT_NPROC counts.
pub fn tasks_of(uid: u32) -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let owned = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid));
    owned
        .map(|entry| {
            fs::read_dir(entry.path().join("task")).map_or(0, |tasks| tasks.count() as u64)
        })
        .sum()
}

/// Bytes and files below a folder; links are not followed.
pub fn usage(folder: &Path) -> (u64, u64) {
    let mut sum = (0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        sum.0 += found.blocks() * 512;
        sum.1 += 1;
        if found.is_dir() {
            let below = usage(&entry.path());
            sum = (sum.0 + below.0, sum.1 + below.1);
        }
    }
    sum
}

/// Removes a run's folder, whatever rights the program has taken from it.
pub fn remove(folder: &Path) -> io::Result<()> {
    if fs::remove_dir_all(folder).is_ok() {
        return Ok(());
    }
    open_up(folder);
    fs::remove_dir_all(folder)
}

/// Gives the owner every right on the folders below, without following a link.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
