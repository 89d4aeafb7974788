// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jailer: one single-threaded process per engine, started from bytes inside the library. It only
//! clones, passes descriptors, waits and kills; each jail's own init does the rest.
//!
//! Where each layer is set: namespaces in `jail.rs`, the root in `template.rs`, the rest of a jail in
//! `init.rs`, a program's locks and limits in `step.rs`, system calls in `seccomp.rs` (and `notify.rs`), Landlock in
//! `files.rs`, control groups in `cgroup.rs`.

#[cfg(target_os = "linux")]
mod ablation;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod collect;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod jail;
#[cfg(target_os = "linux")]
mod kernel_memory;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod notify;
#[cfg(target_os = "linux")]
mod oom;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod quota;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
mod step;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod template;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod workplace;

#[cfg(target_os = "linux")]
fn main() {
    // Only an engine starts this program, with its socket in place and itself in the arguments.
    let Some(start) = supervisor::Start::from_arguments() else {
        eprintln!(
            "unsandbox-jailer is started by the unsandbox library; use the `unsandbox` command"
        );
        std::process::exit(2);
    };
    std::process::exit(match supervisor::run(start) {
        Ok(()) => 0,
        Err(_) => 1,
    });
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("unsandbox-jailer: the embedded engine needs Linux");
    std::process::exit(2);
}
