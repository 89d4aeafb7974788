// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages. Engine and jailer speak over one socket; each run has a socket of its own between
//! the engine and the jail's init, on which results travel without passing the jailer.

use crate::codec::Blob;
use crate::{wire_enum, wire_struct};

/// Largest message without its descriptors; plans travel in a memfd instead.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// From the engine to the jailer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToJailer {
    /// Starts a run. `tree` is its plan's [`Plan::tmp`]. Descriptors: the init's socket, the plan, stdin,
    /// stdout, stderr.
    Spawn { id: u64, needs: Needs, tree: String },
    /// Ends a run whatever its init does.
    Kill { id: u64 },
    /// Asks for [`FromJailer::Layers`].
    Probe,
    /// Ends every run and the jailer.
    Quit,
}
wire_enum!(ToJailer { 1 = Spawn { id, needs, tree }, 2 = Kill { id }, 3 = Probe, 4 = Quit });

/// What the jailer itself has to know of a run; the rest is for the init alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Paths of the host, outside the standard ones, that the jail shows read-only.
    pub show: Vec<String>,
    pub memory_bytes: u64,
    /// Processors that the run may use; 0: all.
    pub cpus: u64,
    pub processes: u64,
    /// Size of the writable tree, where the jail mounts its own.
    pub work_bytes: u64,
    pub work_files: u64,
    /// Ports of the jail's own loopback to listen on for the engine; see [`FromInit::Listening`].
    pub listen: Vec<u16>,
}

impl Needs {
    /// What most runs need, for the jail that is made before the first is known: the defaults of the
    /// protocol's table (a test of the engine compares them).
    pub const USUAL: Needs = Needs {
        show: Vec::new(),
        memory_bytes: 512 << 20,
        cpus: 0,
        processes: 256,
        work_bytes: 256 << 20,
        work_files: 16_384,
        listen: Vec::new(),
    };
}
wire_struct!(Needs { show, memory_bytes, cpus, processes, work_bytes, work_files, listen });

/// From the jailer to the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromJailer {
    /// The first message, with a pidfd of the jailer: whether jails can be built, how strong they are, and of what. `base` is the
    /// folder of the host below which runs get their writable trees; empty where each mounts its own.
    Hello {
        trouble: Option<Trouble>,
        level: u8,
        layers: Vec<String>,
        missing: Vec<String>,
        base: String,
    },
    /// The run's init is gone, and with it every process of the run.
    Exited {
        id: u64,
        /// The kernel has ended the init for want of the run's memory.
        out_of_memory: bool,
    },
    /// The jail could not be built.
    Refused {
        id: u64,
        trouble: Trouble,
    },
    Layers {
        level: u8,
        layers: Vec<LayerReport>,
    },
    /// The answer to [`ToJailer::Kill`]; [`FromJailer::Exited`] follows when it has worked.
    Killing {
        id: u64,
    },
}
wire_enum!(FromJailer {
    1 = Exited { id, out_of_memory }, 2 = Refused { id, trouble }, 3 = Layers { level, layers },
    4 = Hello { trouble, level, layers, missing, base }, 5 = Killing { id },
});

/// Levels as numbers of [`FromJailer::Hello`] and [`FromJailer::Layers`].
pub const LEVEL_NONE: u8 = 0;
pub const LEVEL_REDUCED: u8 = 1;
pub const LEVEL_FULL: u8 = 2;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerReport {
    pub name: String,
    pub available: bool,
    pub detail: String,
    pub fix: String,
}
wire_struct!(LayerReport { name, available, detail, fix });

/// Which step of building a jail failed, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The layer, in the words of the probe.
    pub layer: String,
    pub what: String,
    pub errno: i32,
    /// What an operator can do about it.
    pub fix: String,
}
wire_struct!(Trouble { layer, what, errno, fix });

/// Everything that a jail's init needs to know about its run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The one writable tree: `/tmp` where the jail mounts its own, a folder of the host otherwise.
    pub tmp: String,
    /// Placed in the work directory before the first step.
    pub files: Vec<PlacedFile>,
    /// Compile (if any), then run.
    pub steps: Vec<Step>,
    pub env: Vec<String>,
    pub limits: RunLimits,
    /// Files of the work directory to give back besides `artifacts/`.
    pub collect: Vec<Wanted>,
    pub artifacts_max_count: u64,
    pub artifacts_max_bytes: u64,
}
wire_struct!(Plan {
    tmp,
    files,
    steps,
    env,
    limits,
    collect,
    artifacts_max_count,
    artifacts_max_bytes
});

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedFile {
    pub name: String,
    pub content: Blob,
}
wire_struct!(PlacedFile { name, content });

/// A file to give back, and what it is. Relative to the work directory, or below [`Plan::tmp`]; a `*` in the
/// last part stands for any characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub name: String,
    pub kind: String,
}
wire_struct!(Wanted { name, kind });

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    Compile,
    /// Make one more artifact each; a failure is reported and does not stop the run.
    Pack,
    Wasm,
    Run,
}
wire_enum!(StepKind { 1 = Compile, 2 = Pack, 3 = Wasm, 4 = Run });

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub kind: StepKind,
    /// Absolute path of the program, then its arguments.
    pub argv: Vec<String>,
    pub wall_ms: u64,
}
wire_struct!(Step { kind, argv, wall_ms });

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunLimits {
    pub memory_bytes: u64,
    /// 0: none.
    pub cpu_time_ms: u64,
    pub processes: u64,
    pub open_files: u64,
    pub file_size_bytes: u64,
    pub work_bytes: u64,
    pub work_files: u64,
}
wire_struct!(RunLimits {
    memory_bytes,
    cpu_time_ms,
    processes,
    open_files,
    file_size_bytes,
    work_bytes,
    work_files
});

/// From the engine to a jail's init.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToInit {
    /// Kill the program and report; `collect` says whether artifacts are still wanted.
    Stop { collect: bool },
}
wire_enum!(ToInit { 1 = Stop { collect } });

/// From a jail's init to the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromInit {
    /// A step's program has been started.
    Started {
        kind: StepKind,
    },
    Ended {
        kind: StepKind,
        end: StepEnd,
    },
    /// With the file's descriptor.
    Artifact {
        name: String,
        kind: String,
        size: u64,
    },
    Skipped {
        name: String,
        why: String,
    },
    /// The jail could not be finished.
    Refused {
        trouble: Trouble,
    },
    /// The last message: every process but the init itself is gone.
    Done,
    /// With a listening socket for each port of [`Needs::listen`]. A socket stays in the network namespace
    /// that it was made in, so the engine takes connections on it from outside.
    Listening,
}
wire_enum!(FromInit {
    1 = Started { kind }, 2 = Ended { kind, end }, 3 = Artifact { name, kind, size },
    4 = Skipped { name, why }, 5 = Refused { trouble }, 6 = Done,
    7 = Listening,
});

/// The kernel gives the pipes of a user 16,384 pages, which is 1,024 pipes (fs.pipe-user-pages-soft); beyond that
/// each holds two pages. A run has three quarters of them at most.
pub const PIPES_MAX: u64 = 768;

/// Why a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    Exited,
    Signaled,
    Wall,
    Cpu,
    Memory,
    /// Its folder holds too much, where no file system of its own bounds it.
    Files,
    /// The engine said [`ToInit::Stop`].
    Stopped,
    /// It has more than [`PIPES_MAX`] pipes of the host's user.
    Pipes,
}
wire_enum!(Cause { 1 = Exited, 2 = Signaled, 3 = Wall, 4 = Cpu, 5 = Memory, 6 = Files, 7 = Stopped, 8 = Pipes });

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepEnd {
    pub cause: Cause,
    /// The program's exit code, or the signal that ended it.
    pub code: i32,
    pub cpu_time_us: u64,
    pub peak_memory_bytes: u64,
    pub wall_us: u64,
}
wire_struct!(StepEnd { cause, code, cpu_time_us, peak_memory_bytes, wall_us });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Wire;

    fn sample() -> Plan {
        Plan {
            files: vec![PlacedFile { name: "main.py".into(), content: Blob(vec![0, 255, 10]) }],
            steps: vec![Step { kind: StepKind::Run, argv: vec!["/bin/true".into()], wall_ms: 7 }],
            env: vec!["A=b".into()],
            ..Plan::default()
        }
    }

    #[test]
    fn a_message_survives_the_way() {
        assert_eq!(Plan::from_bytes(&sample().to_bytes()), Some(sample()));
        let message = ToJailer::Spawn {
            id: 9,
            needs: Needs { show: vec!["/opt".into()], memory_bytes: 1, ..Needs::default() },
            tree: "/tmp".into(),
        };
        assert_eq!(ToJailer::from_bytes(&message.to_bytes()), Some(message));
    }

    #[test]
    fn a_cut_or_longer_message_is_refused() {
        let bytes = sample().to_bytes();
        for len in 0..bytes.len() {
            assert_eq!(Plan::from_bytes(&bytes[..len]), None, "cut at {len}");
        }
        assert_eq!(Plan::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}
