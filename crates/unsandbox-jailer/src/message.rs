// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages between the engine and the supervisor, over one socket. Those between the engine and a jail's init are in
//! `commands.rs`.

use crate::{wire_enum, wire_struct};

/// Largest message without its descriptors; plans travel in a memfd instead.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// From the engine to the jailer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToJailer {
    /// Starts a run. `tree` is its plan's [`crate::commands::Plan::tmp`]. Descriptors: the init's socket, the plan, stdin,
    /// stdout, stderr. The program's stdin is always a pipe: the init feeds it from a file, and hands a pipe on.
    Spawn { id: u64, needs: Needs, tree: String },
    /// Ends a run whatever its init does.
    Kill { id: u64 },
    /// Asks for [`FromJailer::Layers`].
    Probe,
    /// Ends every run and the jailer.
    Quit,
}
wire_enum!(ToJailer { 1 = Spawn { id, needs, tree }, 2 = Kill { id }, 3 = Probe, 4 = Quit });

/// What the supervisor has to know about a run; the rest is only for the init.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Paths of the host, outside the standard ones, that the jail shows read-only.
    pub show: Vec<String>,
    pub memory_bytes: u64,
    /// Processors that the run may use; 0: all.
    pub cpus: u64,
    pub processes: u64,
    /// Memory and processes of the compiler, which has a control group of its own; 0 where nothing is compiled.
    pub compile_memory_bytes: u64,
    pub compile_processes: u64,
    /// Size of the writable tree, where the jail mounts its own.
    pub work_bytes: u64,
    pub work_files: u64,
    /// Ports of the jail's own loopback to listen on for the engine; see [`crate::commands::FromInit::Listening`].
    pub listen: Vec<u16>,
}

impl Needs {
    /// The needs of most runs, for the jail that is made before the first run is known: the defaults of the
    /// protocol's table (a test of the engine compares them).
    pub const USUAL: Needs = Needs {
        show: Vec::new(),
        memory_bytes: 512 << 20,
        cpus: 0,
        processes: 256,
        compile_memory_bytes: 0,
        compile_processes: 0,
        work_bytes: 256 << 20,
        work_files: 16_384,
        listen: Vec::new(),
    };
}
wire_struct!(Needs {
    show,
    memory_bytes,
    cpus,
    processes,
    compile_memory_bytes,
    compile_processes,
    work_bytes,
    work_files,
    listen
});

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
        /// The kernel has ended the init because the run's memory was exhausted.
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
    /// The layer, named as in [`LayerReport::name`].
    pub layer: String,
    pub what: String,
    pub errno: i32,
    /// What an operator can do about it.
    pub fix: String,
}
wire_struct!(Trouble { layer, what, errno, fix });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Wire;

    #[test]
    fn a_message_survives_the_way() {
        let message = ToJailer::Spawn {
            id: 9,
            needs: Needs { show: vec!["/opt".into()], memory_bytes: 1, ..Needs::default() },
            tree: "/tmp".into(),
        };
        assert_eq!(ToJailer::from_bytes(&message.to_bytes()), Some(message));
    }
}
