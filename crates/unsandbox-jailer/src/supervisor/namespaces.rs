// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which namespaces this machine gives, found by trying each in a child.

use crate::sys;
use crate::trouble::fix_for;
use unsandbox_jailer::message::LayerReport;

pub const NAMESPACES: [(&str, libc::c_int); 6] = [
    ("mount namespace", libc::CLONE_NEWNS),
    ("pid namespace", libc::CLONE_NEWPID),
    ("network namespace", libc::CLONE_NEWNET),
    ("ipc namespace", libc::CLONE_NEWIPC),
    ("uts namespace", libc::CLONE_NEWUTS),
    ("cgroup namespace", libc::CLONE_NEWCGROUP),
];

/// The first namespace that this machine refuses, to name it in the error of a clone with all of them.
pub fn missing_namespace() -> &'static str {
    let all = [("user namespace", 0)].into_iter().chain(NAMESPACES);
    all.map(|(name, flag)| (name, try_namespace(name, flag)))
        .find(|(_, tried)| !tried.available)
        .map_or("processes", |(name, _)| name)
}

pub fn try_namespace(name: &str, flag: libc::c_int) -> LayerReport {
    let tried = match sys::fork_with(libc::CLONE_NEWUSER | flag) {
        Ok(None) => sys::exit_now(0),
        Ok(Some(_)) if flag == 0 => return there(name, "one unprivileged id, setgroups denied"),
        Ok(Some(_)) => return there(name, "its own"),
        Err(error) => error,
    };
    let errno = tried.raw_os_error().unwrap_or(0);
    LayerReport {
        name: name.to_string(),
        available: false,
        detail: format!("clone: {tried}"),
        fix: fix_for(name, errno),
    }
}

pub fn there(name: &str, detail: &str) -> LayerReport {
    let (name, detail) = (name.to_string(), detail.to_string());
    LayerReport { name, available: true, detail, fix: String::new() }
}
