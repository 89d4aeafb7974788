// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this machine gives, layer by layer, found by doing it: a child tries each namespace, a whole
//! jail is built and thrown away.

use crate::cgroup::{Groups, Version};
use crate::jail::{Builder, Doubt};
use crate::{files, sys};
use std::fs;
use unsandbox_jailer::message::{
    FromJailer, LEVEL_FULL, LEVEL_NONE, LEVEL_REDUCED, LayerReport, Needs, Trouble,
};

const NAMESPACES: [(&str, libc::c_int); 6] = [
    ("mount namespace", libc::CLONE_NEWNS),
    ("pid namespace", libc::CLONE_NEWPID),
    ("network namespace", libc::CLONE_NEWNET),
    ("ipc namespace", libc::CLONE_NEWIPC),
    ("uts namespace", libc::CLONE_NEWUTS),
    ("cgroup namespace", libc::CLONE_NEWCGROUP),
];

/// The trial jail is reaped by the supervisor.
pub fn layers(builder: &mut Doubt<Builder>) -> FromJailer {
    let mut layers = vec![try_namespace("user namespace", 0)];
    layers.extend(NAMESPACES.map(|(name, flag)| try_namespace(name, flag)));
    let best = match builder {
        Err(trouble) => {
            refuse(&mut layers, trouble);
            LEVEL_NONE
        }
        Ok(builder) if builder.is_full() => match try_jail(builder) {
            Ok(()) => LEVEL_FULL,
            Err(trouble) => {
                refuse(&mut layers, &trouble);
                LEVEL_NONE
            }
        },
        Ok(_) => LEVEL_REDUCED,
    };
    layers.push(there(
        "seccomp",
        "two deny-lists, an allow-list for ioctl, and a guard against foreign system call tables",
    ));
    layers.push(landlock());
    layers.push(there("rights", "no_new_privs, no capabilities, an unprivileged id"));
    layers.push(there("rlimits", "processes, open files, file size, core, stack, locked memory"));
    layers.push(groups(builder));
    FromJailer::Layers { level: best, layers }
}

fn there(name: &str, detail: &str) -> LayerReport {
    let (name, detail) = (name.to_string(), detail.to_string());
    LayerReport { name, available: true, detail, fix: String::new() }
}

/// Marks the layer that failed, adding it if it is not among those tried.
fn refuse(layers: &mut Vec<LayerReport>, trouble: &Trouble) {
    layers.retain(|layer| layer.name != trouble.layer);
    layers.push(LayerReport {
        name: trouble.layer.clone(),
        available: false,
        detail: trouble.what.clone(),
        fix: trouble.fix.clone(),
    });
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
            return "set user.max_user_namespaces to a few thousand".to_string();
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
        return format!("set user.max_{name}_namespaces to a few thousand");
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
        ("processes", libc::EAGAIN) => {
            "raise the limit on processes (ulimit -u, or pids.max of the control group)"
        }
        ("temporary directory", _) => {
            "make room in it, or set TMPDIR to a directory that this user may write to"
        }
        ("cgroup", _) => {
            "look at the limits of the control group that this process runs in, or start it again"
        }
        ("landlock", _) => "boot with lsm=landlock,… (Linux 5.13 or newer)",
        (_, libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
        (_, libc::ENOMEM) => "free some memory",
        _ => "see the security page of the documentation",
    };
    fix.to_string()
}

/// The first namespace that this machine refuses, for the words about a clone that asked for them all.
pub fn missing_namespace() -> &'static str {
    let all = [("user namespace", 0)].into_iter().chain(NAMESPACES);
    all.map(|(name, flag)| (name, try_namespace(name, flag)))
        .find(|(_, tried)| !tried.available)
        .map_or("processes", |(name, _)| name)
}

fn try_namespace(name: &str, flag: libc::c_int) -> LayerReport {
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

/// Builds a jail as a run would have it, and hears from its init whether it could be finished.
fn try_jail(builder: &mut Builder) -> Doubt<()> {
    let needs = Needs {
        memory_bytes: 64 << 20,
        processes: 16,
        work_bytes: 1 << 20,
        work_files: 64,
        ..Needs::default()
    };
    let jail = builder.build(&needs)?;
    let finished = jail.hear();
    let _ = sys::kill(jail.pid, libc::SIGKILL);
    builder.doom(jail.group);
    finished
}

fn landlock() -> LayerReport {
    match files::kernel_abi() {
        0 => LayerReport {
            name: "landlock".to_string(),
            available: false,
            detail: "the kernel does not have it".to_string(),
            fix: fix_for("landlock", libc::ENOSYS),
        },
        abi => there("landlock", &format!("version {abi} of its interface")),
    }
}

fn groups(builder: &Doubt<Builder>) -> LayerReport {
    let found: Result<&Groups, &str> = match builder {
        Ok(builder) => builder.groups.as_ref().map_err(String::as_str),
        Err(_) => Err("not looked for"),
    };
    match found {
        Ok(groups) if groups.version == Version::Two => there("cgroup", "version 2"),
        Ok(_) => there("cgroup", "version 1"),
        Err(why) => LayerReport {
            name: "cgroup".to_string(),
            available: false,
            detail: format!("{why}; a watchdog counts memory and processor time instead"),
            fix: "run under a delegated group (systemd-run --user --scope -p Delegate=yes), or as root"
                .to_string(),
        },
    }
}
