// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages between the engine and a jail's init, over the control socket of that jail.
//!
//! A run begins with one batch, a [`Plan`], in a sealed memfd: [`PLAN_HEAD`] bytes with the plan's length, the plan, the
//! contents of its files. The init places the files, takes the steps one after the other (a compiler that fails ends
//! them) and reports each with [`FromInit::Started`] and [`FromInit::Ended`]. Meanwhile it accepts one message,
//! [`ToInit::Stop`], which ends the program and the steps that are left.
//!
//! A one-shot run ends there: the init collects artifacts, says [`FromInit::Done`], and ends. A plan with
//! [`Then::Serve`] keeps the jail: the init then executes [`ToInit::Command`]s, one after the other, and answers each with
//! [`FromInit::Answer`]. Files stay, processes do not: all that a program has started are ended with it. While a program
//! of [`Command::Spawn`] runs, files can be placed, read, listed and removed, a signal can be sent to it, and a second
//! spawn is refused. Wall time, and the processor time of an end, are those of each program; the limits of processor time,
//! memory and files, and the peak of memory, count over all programs of the jail (a compiler of the batch is none of
//! them): once its processor time is used up, a spawn is refused. System V objects are removed with the program that made them. POSIX message queues, which
//! the init could not find to remove them, cannot be made in a jail that is kept. [`Command::End`], or the end of either socket,
//! ends the jail and everything in it.
//!
//! The init never waits for a program: files that a program could make to block (pipes, devices) are not opened. An engine
//! that does not read its answers loses the jail: at once while a program runs, after ten seconds otherwise. One that
//! leaves more descriptors in the socket than the kernel allows a user (RLIMIT_NOFILE) is refused the next. A message
//! that is malformed ends the jail; a command that cannot be executed is answered with [`Answer::Refused`], as is one that
//! comes before the batch is over. [`ToInit::Stop`] without a program does nothing. A message has at most
//! [`crate::message::MESSAGE_MAX`] bytes, else the sender gets an error. The engine itself limits the files that it places.

use crate::codec::Blob;
use crate::message::Trouble;
use crate::{wire_enum, wire_struct};

/// The batch with which a run begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The one writable tree: `/tmp` where the jail mounts its own, a folder of the host otherwise.
    pub tmp: String,
    /// Placed below `tmp` before the first step. Their contents follow the plan in its memfd, in order.
    pub files: Vec<PlacedFile>,
    /// Compile (if any), then run.
    pub steps: Vec<Step>,
    /// Of the program.
    pub env: Vec<String>,
    /// Of every other step.
    pub build_env: Vec<String>,
    /// Of the program: [`StepKind::Run`] and [`Command::Spawn`].
    pub limits: RunLimits,
    /// Of the other steps, which are an account of their own: what they use counts against these limits alone.
    pub compile_limits: RunLimits,
    /// Below `tmp`, the file with what a program of the steps has printed and not yet written at its end; empty for none.
    pub gathered: String,
    /// Files to give back besides `artifacts/`.
    pub collect: Vec<Wanted>,
    /// Patterns of further files of the work directory that are given back, if the program made or changed them.
    pub outputs: Vec<String>,
    pub artifacts_max_count: u64,
    pub artifacts_max_bytes: u64,
    /// What follows the steps: the end of the jail, or commands.
    pub then: Then,
}
wire_struct!(Plan {
    tmp,
    files,
    steps,
    env,
    build_env,
    limits,
    compile_limits,
    gathered,
    collect,
    outputs,
    artifacts_max_count,
    artifacts_max_bytes,
    then
});

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Then {
    /// Collect, and end.
    #[default]
    End,
    /// Execute [`ToInit::Command`]s until [`Command::End`].
    Serve,
}
wire_enum!(Then { 1 = End, 2 = Serve });

/// The size of the file [`Plan::gathered`].
pub const GATHERED_BYTES: usize = 32 << 10;

/// Bytes before the plan in its memfd: its length.
pub const PLAN_HEAD: usize = 8;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedFile {
    /// A path below [`Plan::tmp`]; missing folders are made.
    pub name: String,
    pub len: u64,
}
wire_struct!(PlacedFile { name, len });

/// A file to give back, and its kind. Relative to the work directory, or below [`Plan::tmp`]; a `*` in the
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
    pub stack_bytes: u64,
    pub work_bytes: u64,
    pub work_files: u64,
}
wire_struct!(RunLimits {
    memory_bytes,
    cpu_time_ms,
    processes,
    open_files,
    file_size_bytes,
    stack_bytes,
    work_bytes,
    work_files
});

/// From the engine to a jail's init.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToInit {
    /// Kill the program and report; `collect` says whether artifacts are still wanted.
    Stop { collect: bool },
    /// Execute a command, and answer with [`FromInit::Answer`] and the same id.
    Command { id: u64, command: Command },
}
wire_enum!(ToInit { 1 = Stop { collect }, 2 = Command { id, command } });

/// Paths are relative to the writable tree ([`Plan::tmp`]) and opened beneath it; no link is followed, since
/// programs make links where they like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Writes a file from the beginning of the descriptor that comes with the message. An older file of that name is
    /// replaced once the new one is complete; missing folders are made. At most [`PLACE_MAX`] bytes while a program
    /// runs.
    Place { path: String, len: u64 },
    /// Opens a regular file: its descriptor comes with the answer.
    Read { path: String },
    /// Lists a folder by name: the first [`ENTRIES_MAX`] entries whose names follow `after`, which is empty at first.
    List { path: String, after: Blob },
    /// Removes a file or a folder with all that is in it.
    Remove { path: String },
    /// Starts a program in the work directory (`input`), with standard streams that come with the message. One at a time.
    Spawn { argv: Vec<String>, env: Vec<String>, wall_ms: u64 },
    /// Sends a signal to the program that runs: 2 interrupts, 9 ends it.
    Signal { signal: i32 },
    /// Gives artifacts back, as at the end of a plan, and answers when all have been sent.
    Collect,
    /// Ends the jail.
    End,
}
wire_enum!(Command {
    1 = Place { path, len }, 2 = Read { path }, 3 = List { path, after }, 4 = Remove { path },
    5 = Spawn { argv, env, wall_ms }, 6 = Signal { signal }, 7 = Collect, 8 = End,
});

/// The most bytes to place while a program runs, because the init does not watch the program meanwhile.
pub const PLACE_MAX: u64 = 8 << 20;

/// The most entries of a folder in one answer.
pub const ENTRIES_MAX: usize = 128;

/// The result of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The answer to place, remove, signal and collect.
    Done,
    /// With the file's descriptor.
    File {
        len: u64,
    },
    Entries {
        entries: Vec<Entry>,
        has_more: bool,
    },
    /// The program is running. Its end is a second answer with the same id.
    Started,
    Ended {
        end: StepEnd,
    },
    /// The command was not executed, for this reason; `errno` is 0 where no system call failed.
    Refused {
        why: String,
        errno: i32,
    },
}
wire_enum!(Answer {
    1 = Done, 2 = File { len }, 3 = Entries { entries, has_more }, 4 = Started, 5 = Ended { end },
    6 = Refused { why, errno },
});

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The raw bytes: a program may choose a name that is not text.
    pub name: Blob,
    pub is_folder: bool,
    /// Of a regular file; 0 for anything else.
    pub len: u64,
}
wire_struct!(Entry { name, is_folder, len });

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
    /// Without a name, `why` is about several files and is a whole sentence.
    Skipped {
        name: String,
        why: String,
    },
    /// A file of the work directory that the program made or changed, and that nothing asked for.
    Left {
        name: String,
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
    /// To the command with this id.
    Answer {
        id: u64,
        answer: Answer,
    },
}
wire_enum!(FromInit {
    1 = Started { kind }, 2 = Ended { kind, end }, 3 = Artifact { name, kind, size },
    4 = Skipped { name, why }, 5 = Refused { trouble }, 6 = Done,
    7 = Listening, 8 = Answer { id, answer }, 9 = Left { name },
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
    /// Its folder holds too much; only where it has no file system of its own.
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
            files: vec![PlacedFile { name: "main.py".into(), len: 3 }],
            steps: vec![Step { kind: StepKind::Run, argv: vec!["/bin/true".into()], wall_ms: 7 }],
            env: vec!["A=b".into()],
            ..Plan::default()
        }
    }

    #[test]
    fn a_message_survives_the_way() {
        assert_eq!(Plan::from_bytes(&sample().to_bytes()), Some(sample()));
        let command =
            Command::Spawn { argv: vec!["/bin/true".into()], env: Vec::new(), wall_ms: 9 };
        let message = ToInit::Command { id: 3, command };
        assert_eq!(ToInit::from_bytes(&message.to_bytes()), Some(message));
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
