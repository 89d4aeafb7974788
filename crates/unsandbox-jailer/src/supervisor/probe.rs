// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this machine gives, layer by layer, found by doing it: a child tries each namespace, a whole
//! jail is built and thrown away.

use crate::layers::cgroup::{Groups, Version};
use crate::layers::landlock;
use crate::supervisor::jail::Builder;
use crate::sys;
use crate::trouble::{JailResult, fix_for};
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
pub fn layers(builder: &mut JailResult<Builder>) -> FromJailer {
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
fn try_jail(builder: &mut Builder) -> JailResult<()> {
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
    match landlock::kernel_abi() {
        0 => LayerReport {
            name: "landlock".to_string(),
            available: false,
            detail: "the kernel does not have it".to_string(),
            fix: fix_for("landlock", libc::ENOSYS),
        },
        abi => there("landlock", &format!("version {abi} of its interface")),
    }
}

fn groups(builder: &JailResult<Builder>) -> LayerReport {
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
