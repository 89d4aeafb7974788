// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a jail could not be built, and what an operator can do about it.

use std::{fs, io};
use unsandbox_jailer::message::Trouble;

pub type JailResult<T> = Result<T, Trouble>;

/// The trouble of a layer, from the error that `what` met.
pub fn trouble<'a>(layer: &'a str, what: &'a str) -> impl FnOnce(io::Error) -> Trouble + 'a {
    move |error| Trouble {
        layer: layer.to_string(),
        what: format!("{what}: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
        fix: fix_for(layer, error.raw_os_error().unwrap_or(0)),
    }
}

/// What an operator can do about it.
pub fn fix_for(layer: &str, errno: i32) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_string();
    if layer == "user namespace" || layer == "mount namespace" {
        if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
            return "AppArmor restricts user namespaces: install the profile that `make install` ships, \
                    or set kernel.apparmor_restrict_unprivileged_userns=0"
                .to_string();
        }
        if read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
            return "set kernel.unprivileged_userns_clone=1".to_string();
        }
        if read("/proc/sys/user/max_user_namespaces") == "0" {
            return "set user.max_user_namespaces to 4096 (sysctl -w)".to_string();
        }
    }
    if let (libc::ENOSPC, Some(kind)) = (errno, layer.strip_suffix(" namespace")) {
        let name = if kind == "mount" {
            "mnt"
        } else if kind == "network" {
            "net"
        } else {
            kind
        };
        return format!("set user.max_{name}_namespaces to 4096 (sysctl -w)");
    }
    if layer == "user namespace" || layer == "mount namespace" {
        return "allow user namespaces: in a container, run it with a seccomp profile that permits \
                unshare and mount (for Docker: --security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined)"
            .to_string();
    }
    if layer == "pid namespace" {
        return "a new /proc is refused where the container masks its own: unmask it (for Docker: \
                --security-opt systempaths=unconfined)"
            .to_string();
    }
    let fix = match (layer, errno) {
        ("processes", libc::ENOENT | libc::ESRCH) => {
            "mount the /proc of its own pid namespace (mount -t proc proc /proc)"
        }
        ("processes", libc::EACCES) => {
            "mount /proc without hidepid (mount -o remount,hidepid=0 /proc), or give this process a control group \
             (systemd-run --user --scope -p Delegate=yes)"
        }
        ("processes", libc::EAGAIN) => {
            "raise the limit on processes (ulimit -u, or pids.max of the control group)"
        }
        ("temporary directory", _) => {
            "make room in it, or set TMPDIR to a directory that this user may write to"
        }
        ("cgroup", _) => {
            "check memory.max, pids.max and cgroup.max.descendants of the control group of this process, or restart \
             it"
        }
        ("landlock", _) => "boot with lsm=landlock,… (Linux 5.13 or newer)",
        (_, libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
        (_, libc::ENOMEM) => "free some memory",
        _ => "see https://github.com/unsandbox/unsandbox/blob/main/docs/security.md",
    };
    fix.to_string()
}
