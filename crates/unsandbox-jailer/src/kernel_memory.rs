// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel itself keeps for a run where no control group counts it: an estimate by what /proc tells, a
//! little more than it is rather than less.

use crate::proc::Face;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

/// A task with its stack; a mapping with its place in the tree; a semaphore; a message beside
/// its text; a descriptor with the file behind it.
const TASK: u64 = 24 << 10;
const MAPPING: u64 = 256;
const SEMAPHORE: u64 = 128;
const MESSAGE: u64 = 128;
const DESCRIPTOR: u64 = 1 << 10;
/// A pipe may hold 16 pages, and two once its user has a thousand.
const PIPE: u64 = 64 << 10;
const SMALL_PIPE: u64 = 8 << 10;
const LARGE_PIPES: u64 = 1024;
/// What the buffers of one socket can hold before its writer has to wait (net.core.wmem_default of most
/// kernels). How much they do hold is not told.
const SOCKET: u64 = 212_992;

/// Looking up more would take longer than a look may: so many mappings of one run are too many.
const COUNTED_MAX: u64 = 1 << 18;
/// How long a number is valid: at least so long, and ten times as long as it took to count it.
const FRESH: Duration = Duration::from_millis(100);
/// How long one look may count mappings; the processes that were counted longest ago come first.
const COUNTING: Duration = Duration::from_millis(50);

/// What processes hold through descriptors.
#[derive(Default)]
pub struct Descriptors {
    pub all: u64,
    pub sockets: u64,
    pub pipes: u64,
}

pub struct KernelMemory {
    /// Tables of the run's own namespaces tell also of sockets that no process holds.
    in_jail: bool,
    mappings: HashMap<libc::pid_t, Counted>,
}

/// A number, and until when it is valid.
#[derive(Clone, Copy)]
struct Counted {
    count: u64,
    until: Instant,
}

impl Counted {
    fn now(count: impl FnOnce() -> u64) -> Counted {
        let begun = Instant::now();
        let count = count();
        Counted { count, until: begun + FRESH.max(begun.elapsed() * 10) }
    }
}

impl KernelMemory {
    pub fn new(in_jail: bool) -> KernelMemory {
        KernelMemory { in_jail, mappings: HashMap::new() }
    }

    pub fn bytes(&mut self, faces: &[Face], held: &Descriptors) -> u64 {
        let tasks: u64 = faces.iter().map(Face::threads).sum();
        let sockets = if self.in_jail { held.sockets.max(sockets()) } else { held.sockets };
        let counted = [
            (tasks, TASK),
            (self.mappings(faces), MAPPING),
            (held.all, DESCRIPTOR),
            (held.pipes.min(LARGE_PIPES), PIPE),
            (held.pipes, SMALL_PIPE),
            (sockets, SOCKET),
        ];
        let sum = counted.into_iter().map(|(count, each)| count.saturating_mul(each));
        let system_v = if self.in_jail { system_v_bytes() } else { 0 };
        sum.fold(system_v, u64::saturating_add)
    }

    /// Counted anew for each process now and then, and at once for a new one, which may be a copy of one that
    /// has many.
    fn mappings(&mut self, faces: &[Face]) -> u64 {
        let begun = Instant::now();
        let mut before = std::mem::take(&mut self.mappings);
        let known = |face: &Face, before: &HashMap<_, Counted>| before.get(&face.pid).copied();
        let mut due: Vec<&Face> = Vec::new();
        for face in faces {
            match known(face, &before) {
                Some(counted) if counted.until > begun => {
                    _ = self.mappings.insert(face.pid, counted)
                }
                _ => due.push(face),
            }
        }
        let mut unreached = 0;
        due.sort_by_key(|face| known(face, &before).map(|counted| counted.until));
        for face in due {
            let counted = match before.remove(&face.pid) {
                Some(counted) if begun.elapsed() > COUNTING => counted,
                // What was not reached may have as many as the largest.
                None if begun.elapsed() > COUNTING => {
                    unreached += 1;
                    continue;
                }
                _ => Counted::now(|| face.mappings()),
            };
            self.mappings.insert(face.pid, counted);
        }
        let counts = || self.mappings.values().map(|counted| counted.count);
        too_many(counts().sum::<u64>() + unreached * counts().max().unwrap_or(0))
    }
}

/// More than any limit where not all were counted.
fn too_many(count: u64) -> u64 {
    if count >= COUNTED_MAX { u64::MAX } else { count }
}

/// Sockets of this process's network namespace, on their way over another one too.
fn sockets() -> u64 {
    let local = File::open("/proc/self/net/unix").map_or(0, |table| {
        let lines = BufReader::new(table).split(b'\n').map_while(Result::ok);
        lines.skip(1).take(COUNTED_MAX as usize).count() as u64 // after the head
    });
    let told =
        ["sockstat", "sockstat6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")));
    let words = told.iter().flatten().flat_map(|text| text.lines());
    let in_use = words.filter(|line| !line.starts_with("sockets:")).filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "inuse").skip(1);
        words.next()?.parse::<u64>().ok()
    });
    local + in_use.sum::<u64>()
}

/// Semaphores and messages of this ipc namespace.
fn system_v_bytes() -> u64 {
    system_v("sem", "nsems") * SEMAPHORE
        + system_v("msg", "cbytes")
        + system_v("msg", "qnum") * MESSAGE
}

/// The sum of a column of a table of this ipc namespace.
pub fn system_v(table: &str, column: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let Some(at) = head.split_whitespace().position(|name| name == column) else { return 0 };
    lines.filter_map(|line| line.split_whitespace().nth(at)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kind of thing adds to what nothing adds to.
    fn of(faces: &[Face], held: Descriptors) -> u64 {
        KernelMemory::new(false).bytes(faces, &held)
    }

    #[test]
    fn descriptors_count_by_what_they_can_hold() {
        assert_eq!(of(&[], Descriptors::default()), 0);
        assert_eq!(of(&[], Descriptors { all: 3, ..Descriptors::default() }), 3 * DESCRIPTOR);
        assert_eq!(of(&[], Descriptors { sockets: 3, ..Descriptors::default() }), 3 * SOCKET);
        let pipes = |pipes| of(&[], Descriptors { pipes, ..Descriptors::default() });
        assert_eq!(pipes(2), 2 * (PIPE + SMALL_PIPE));
        assert_eq!(pipes(LARGE_PIPES + 5) - pipes(LARGE_PIPES), 5 * SMALL_PIPE);
    }

    fn own() -> Face {
        Face::of(std::process::id() as libc::pid_t).expect("this process lives")
    }

    #[test]
    fn tasks_and_mappings_count() {
        let (mut memory, face) = (KernelMemory::new(false), own());
        let until = Instant::now() + Duration::from_secs(3600);
        memory.mappings.insert(face.pid, Counted { count: 7, until });
        let expected = face.threads() * TASK + 7 * MAPPING;
        assert_eq!(memory.bytes(&[face], &Descriptors::default()), expected);
    }

    #[test]
    fn mappings_are_counted_as_they_are() {
        let map = |_| {
            let (none, shared) = (libc::PROT_NONE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
            // SAFETY: a mapping of its own at a place of the kernel's choice.
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, none, shared, -1, 0) }
        };
        let mapped: Vec<_> = (0..1000).map(map).collect();
        let mappings = KernelMemory::new(false).mappings(&[own()]);
        // SAFETY: they were just made, and nothing points into them.
        mapped.into_iter().for_each(|at| _ = unsafe { libc::munmap(at, 4096) });
        assert!((1000..10_000).contains(&mappings), "{mappings}");
    }

    #[test]
    fn what_was_not_counted_to_its_end_is_too_much() {
        assert_eq!([too_many(7), too_many(COUNTED_MAX)], [7, u64::MAX]);
    }
}
