// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this machine gives, layer by layer, found by doing it: a child tries each namespace, a whole
//! jail is built and thrown away.

use crate::layers::cgroup::{Groups, Version};
use crate::layers::landlock;
use crate::supervisor::jail::Builder;
use crate::supervisor::namespaces::{NAMESPACES, there, try_namespace};
use crate::sys;
use crate::trouble::{JailResult, fix_for};
use unsandbox_jailer::message::{
    FromJailer, LEVEL_FULL, LEVEL_NONE, LEVEL_REDUCED, LayerReport, Needs, Trouble,
};

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

/// Builds a jail as for a run, and waits for its init's report.
fn try_jail(builder: &mut Builder) -> JailResult<()> {
    let needs = Needs {
        memory_bytes: 64 << 20,
        processes: 16,
        work_bytes: 1 << 20,
        work_files: 64,
        ..Needs::default()
    };
    let jail = builder.build(&needs)?;
    let finished = jail.await_ready();
    let _ = sys::kill(jail.pid, libc::SIGKILL);
    builder.remove_group(jail.group);
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
    let found: Result<&Groups, String> = match builder {
        Ok(builder) => builder
            .groups
            .as_ref()
            .map_err(|why| format!("{why}; a watchdog counts memory and processor time instead")),
        Err(_) => Err("not checked, because no jail could be built".to_string()),
    };
    match found {
        Ok(groups) if groups.version == Version::Two => there("cgroup", "version 2"),
        Ok(_) => there("cgroup", "version 1"),
        Err(detail) => LayerReport {
            name: "cgroup".to_string(),
            available: false,
            detail,
            fix: "run under a delegated group (systemd-run --user --scope -p Delegate=yes), or as root"
                .to_string(),
        },
    }
}
