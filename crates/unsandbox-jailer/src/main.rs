// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jailer. Theory of operation:
//!
//! Three kinds of processes take part in an execution.
//!
//! 1. The **host** is the process that uses the library. Its engine starts one jailer from bytes inside the library.
//! 2. The **supervisor** (`supervisor/`) is the jailer's only long-lived process: single-threaded, one per engine. It
//!    builds jails ahead of their runs, hands runs to them, reaps them, and kills what has to end.
//! 3. An **init** (`init/`) is the first process of a jail. The supervisor clones it into fresh namespaces; it
//!    finishes the mounts, receives one run, places its files, starts its programs with all locks on, watches them,
//!    and reports to the engine. It keeps its rights inside the jail; the programs that it starts give theirs up.
//!
//! Four channels connect them. Engine and supervisor share one socket ([`unsandbox_jailer::message`]:
//! `ToJailer`, `FromJailer`). Each init has a **parent socket** to the supervisor: "go", then the run; its end tells the
//! init that the supervisor is gone. Each run has a **control socket** between the engine and its init (`ToInit`,
//! `FromInit`), on which results travel past the supervisor, so that no other run can forge them. Output goes through
//! pipes whose other ends are the engine's.
//!
//! A jail is built in this order: control group, namespaces (one clone), root file system (a copy of a template), /proc
//! and /tmp, shown files, the init's own filter. A program gets its locks between fork and exec: session, streams,
//! resource limits, Landlock, capabilities, filters, closed descriptors. A jail is destroyed
//! after the run that the engine used it for.
//!
//! `layers/` has each layer of isolation in a file of its own; files beside these folders serve both processes.

#[cfg(target_os = "linux")]
mod folder;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod layers;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod trouble;

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
