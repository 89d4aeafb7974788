// SPDX-License-Identifier: MIT OR Apache-2.0
//! Estimates the kernel's own memory for a run from /proc, where no control group counts it. The estimate is rather a
//! little too high than too low.

use crate::init::system_v;
use crate::proc::{Mapped, ProcessInfo};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// A task with its stack; a mapping with its place in the tree; a semaphore; a message beside
/// its text; a descriptor with the file behind it.
const TASK: u64 = 24 << 10;
const MAPPING: u64 = 256;
/// A mapping that forks have copied is linked with those of each process above.
const FORKED_MAPPING: u64 = 64;
const SEMAPHORE: u64 = 128;
const MESSAGE: u64 = 128;
const DESCRIPTOR: u64 = 1 << 10;
/// A pipe may hold 16 pages, and two once its user has a thousand.
const PIPE: u64 = 64 << 10;
const SMALL_PIPE: u64 = 8 << 10;
const LARGE_PIPES: u64 = 1024;
/// The most that the buffers of one socket hold before its writer has to wait (net.core.wmem_default of most
/// kernels). /proc does not show how much they hold now.
const SOCKET: u64 = 212_992;

/// A run with more mappings or descriptors than this is over its limit, because counting them would take too long.
const COUNTED_MAX: u64 = 1 << 18;
pub const DESCRIPTORS_MAX: u64 = 1 << 16;
/// A count is valid for this time, or for ten times as long as the counting took if that is longer.
const FRESH: Duration = Duration::from_millis(100);
/// How long one check may count mappings; it begins with the processes that were counted longest ago.
const COUNTING: Duration = Duration::from_millis(50);

/// Numbers of the objects that processes hold through descriptors.
#[derive(Default)]
pub struct Descriptors {
    pub all: u64,
    pub sockets: u64,
    pub pipes: u64,
}

pub struct KernelMemory {
    /// Whether the run has its own namespaces, whose tables also list sockets that no process holds.
    in_jail: bool,
    mapped: HashMap<libc::pid_t, Counted>,
    /// How many processes were not counted for lack of time.
    unreached: u64,
}

/// The mappings of a process, and until when the count is valid.
struct Counted {
    mapped: Mapped,
    until: Instant,
}

impl Counted {
    fn now(info: &ProcessInfo) -> Counted {
        let begun = Instant::now();
        let mapped = info.mapped();
        Counted { mapped, until: begun + FRESH.max(begun.elapsed() * 10) }
    }
}

impl KernelMemory {
    pub fn new(in_jail: bool) -> KernelMemory {
        KernelMemory { in_jail, mapped: HashMap::new(), unreached: 0 }
    }

    pub fn bytes(&mut self, infos: &[ProcessInfo], held: &Descriptors) -> u64 {
        self.count_mappings(infos);
        let tasks: u64 = infos.iter().map(ProcessInfo::threads).sum();
        let sockets = if self.in_jail { held.sockets.max(sockets()) } else { held.sockets };
        let counted = [
            (tasks, TASK),
            (too_many(held.all, DESCRIPTORS_MAX), DESCRIPTOR),
            (held.pipes.min(LARGE_PIPES), PIPE),
            (held.pipes, SMALL_PIPE),
            (sockets, SOCKET),
        ];
        let sum = counted.into_iter().map(|(count, each)| count.saturating_mul(each));
        let system_v = if self.in_jail { system_v_bytes(infos.len() as u64) } else { 0 };
        sum.fold(self.mappings_bytes(infos).saturating_add(system_v), u64::saturating_add)
    }

    /// The most bytes that mapped shared memory can have allocated, whether its pages are present or not. A file that
    /// several processes map counts once.
    pub fn shared_bytes(&self) -> u64 {
        let mut largest = HashMap::new();
        for (inode, bytes) in self.mapped.values().flat_map(|counted| &counted.mapped.shared) {
            let known = largest.entry(inode).or_insert(0);
            *known = (*known).max(*bytes);
        }
        largest.into_values().sum()
    }

    /// Counts again those processes whose count is too old, and new ones at once: a fork may have copied many
    /// mappings.
    fn count_mappings(&mut self, infos: &[ProcessInfo]) {
        let begun = Instant::now();
        let mut before = std::mem::take(&mut self.mapped);
        let until = |info: &ProcessInfo| before.get(&info.pid).map(|counted| counted.until);
        let (mut due, valid): (Vec<&ProcessInfo>, Vec<&ProcessInfo>) =
            infos.iter().partition(|info| until(info).is_none_or(|until| until <= begun));
        due.sort_by_key(|info| until(info));
        self.mapped.extend(valid.iter().filter_map(|info| before.remove_entry(&info.pid)));
        self.unreached = 0;
        for info in due {
            let known = before.remove(&info.pid);
            if begun.elapsed() <= COUNTING {
                self.mapped.insert(info.pid, Counted::now(info));
            } else if let Some(known) = known {
                self.mapped.insert(info.pid, known);
            } else {
                self.unreached += 1;
            }
        }
    }

    /// A process that was not reached may have as many mappings as the one with the most.
    fn mappings_bytes(&self, infos: &[ProcessInfo]) -> u64 {
        let parents: HashMap<_, _> = infos.iter().map(|info| (info.pid, info.parent())).collect();
        let depth = |pid: &libc::pid_t| {
            let above = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
            above.take(parents.len()).count() as u64
        };
        let of = |(pid, counted): (&libc::pid_t, &Counted)| {
            let each = MAPPING + FORKED_MAPPING * depth(pid);
            (counted.mapped.count, counted.mapped.count.saturating_mul(each))
        };
        let all: Vec<(u64, u64)> = self.mapped.iter().map(of).collect();
        let most = all.iter().max().copied().unwrap_or_default();
        let counts = all.iter().map(|(count, _)| count).sum::<u64>() + self.unreached * most.0;
        if counts >= COUNTED_MAX {
            return u64::MAX;
        }
        all.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.unreached * most.1
    }
}

/// Turns a count above `most` into one that is above every limit.
fn too_many(count: u64, most: u64) -> u64 {
    if count > most { u64::MAX } else { count }
}

/// Sockets of this process's network namespace, including those in transit over another socket.
fn sockets() -> u64 {
    let local = File::open("/proc/self/net/unix").map_or(0, |table| {
        let lines = BufReader::new(table).split(b'\n').map_while(Result::ok);
        lines.skip(1).take(COUNTED_MAX as usize).count() as u64 // after the head
    });
    let tables =
        ["sockstat", "sockstat6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")));
    let words = tables.iter().flatten().flat_map(|text| text.lines());
    let in_use = words.filter(|line| !line.starts_with("sockets:")).filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "inuse").skip(1);
        words.next()?.parse::<u64>().ok()
    });
    local + in_use.sum::<u64>()
}

/// Semaphores and messages of this ipc namespace.
fn system_v_bytes(processes: u64) -> u64 {
    // Each process may have a list of operations on semaphores to undo when it ends.
    system_v::sum("sem", "nsems") * (SEMAPHORE + 2 * processes)
        + system_v::sum("msg", "cbytes")
        + system_v::sum("msg", "qnum") * MESSAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The estimate for these descriptors and no process.
    fn of(held: Descriptors) -> u64 {
        KernelMemory::new(false).bytes(&[], &held)
    }

    #[test]
    fn descriptors_count_by_what_they_can_hold() {
        assert_eq!(of(Descriptors::default()), 0);
        assert_eq!(of(Descriptors { all: 3, ..Descriptors::default() }), 3 * DESCRIPTOR);
        let too_many = Descriptors { all: DESCRIPTORS_MAX + 1, ..Descriptors::default() };
        assert_eq!(of(too_many), u64::MAX);
        assert_eq!(of(Descriptors { sockets: 3, ..Descriptors::default() }), 3 * SOCKET);
        let pipes = |pipes| of(Descriptors { pipes, ..Descriptors::default() });
        assert_eq!(pipes(2), 2 * (PIPE + SMALL_PIPE));
        assert_eq!(pipes(LARGE_PIPES + 5) - pipes(LARGE_PIPES), 5 * SMALL_PIPE);
    }

    fn own() -> ProcessInfo {
        ProcessInfo::of(std::process::id() as libc::pid_t).expect("this process lives")
    }

    fn known(memory: &mut KernelMemory, info: &ProcessInfo, mapped: Mapped) {
        let until = Instant::now() + Duration::from_secs(3600);
        memory.mapped.insert(info.pid, Counted { mapped, until });
    }

    #[test]
    fn tasks_and_mappings_count() {
        let (mut memory, info) = (KernelMemory::new(false), own());
        known(&mut memory, &info, Mapped { count: 7, shared: vec![(1, 100), (2, 10)] });
        let expected = info.threads() * TASK + 7 * (MAPPING + FORKED_MAPPING);
        assert_eq!(memory.bytes(&[info], &Descriptors::default()), expected);
        let other = Counted {
            mapped: Mapped { count: 0, shared: vec![(1, 90), (3, 5)] },
            until: Instant::now(),
        };
        memory.mapped.insert(libc::pid_t::MAX, other);
        assert_eq!(memory.shared_bytes(), 100 + 10 + 5);
        known(&mut memory, &own(), Mapped { count: COUNTED_MAX, shared: Vec::new() });
        assert_eq!(memory.bytes(&[own()], &Descriptors::default()), u64::MAX);
    }

    #[test]
    fn what_was_not_reached_counts_as_the_largest() {
        let (mut memory, info) = (KernelMemory::new(false), own());
        known(&mut memory, &info, Mapped { count: 7, shared: Vec::new() });
        let one = memory.mappings_bytes(&[own()]);
        memory.unreached = 3;
        assert_eq!(memory.mappings_bytes(&[own()]), 4 * one);
    }

    #[test]
    fn mappings_are_counted_as_they_are() {
        let (all, shared) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let map = |size: usize, protection| {
            // SAFETY: a mapping of its own at a place of the kernel's choice.
            unsafe { libc::mmap(std::ptr::null_mut(), size, protection, shared, -1, 0) }
        };
        let mapped: Vec<_> = (0..1000).map(|_| map(4096, libc::PROT_NONE)).collect();
        let large = map(77 << 20, all);
        let found = own().mapped();
        // SAFETY: they were just made, and nothing points into them.
        mapped.into_iter().for_each(|at| _ = unsafe { libc::munmap(at, 4096) });
        // SAFETY: as above.
        unsafe { libc::munmap(large, 77 << 20) };
        assert!((1000..10_000).contains(&found.count), "{}", found.count);
        assert!(found.shared.iter().any(|(_, bytes)| *bytes == 77 << 20));
    }
}
