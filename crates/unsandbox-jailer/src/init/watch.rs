// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run has used, and whether that is too much: read from the run's control group where there is
//! one, else summed over the processes of the jail.

use crate::folder;
use crate::init::kernel_memory::{DESCRIPTORS_MAX, Descriptors, KernelMemory};
use crate::init::system_v;
use crate::layers::ablation::{Layer, is_left_out};
use crate::layers::cgroup::Meter;
use crate::proc::{self, Face};
use crate::sys;
use crate::tree;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use unsandbox_jailer::commands::{Cause, PIPES_MAX, RunLimits};

/// Where a run's processes and files are.
pub enum Scope {
    /// In a pid namespace and a file system of their own.
    Jail,
    /// Below this process, and in this folder with its own limits.
    Tree { folder: PathBuf, bytes: u64, files: u64, looked: Instant },
}

pub struct Watchdog {
    scope: Scope,
    meter: Option<Meter>,
    memory_limit: u64,
    cpu_limit: Option<Duration>,
    peak: u64,
    cpu: Duration,
    seen: Seen,
    kernel: KernelMemory,
    /// Whether pipes are taken from those of the host's user.
    shares_user: bool,
    held: Held,
    next_walk: Instant,
    /// Processes that the kernel had ended for want of memory before this step.
    ended_before: u64,
}

/// With a group the kernel enforces memory itself; a look now and then sees that it had to.
const WITH_GROUP: Duration = Duration::from_millis(50);
/// Without one, memory can grow by some MB a millisecond. A young process is looked at more often.
const WITHOUT_GROUP: Duration = Duration::from_millis(20);
const YOUNG: Duration = Duration::from_millis(5);
/// How long the processes' proper shares may be looked at.
const WALK: Duration = Duration::from_millis(100);
/// How often a run's folder is measured where it has no file system of its own.
const FOLDER: Duration = Duration::from_millis(100);

impl Watchdog {
    pub fn new(
        limits: &RunLimits,
        scope: Scope,
        meter: Option<Meter>,
        shares_user: bool,
    ) -> Watchdog {
        let cpu = Duration::from_millis(limits.cpu_time_ms);
        let kernel = KernelMemory::new(matches!(scope, Scope::Jail));
        Watchdog {
            kernel,
            shares_user,
            scope,
            meter,
            memory_limit: limits.memory_bytes,
            cpu_limit: (!cpu.is_zero()).then_some(cpu),
            peak: 0,
            cpu: Duration::ZERO,
            seen: Seen::default(),
            held: Held::default(),
            next_walk: Instant::now(),
            ended_before: 0,
        }
    }

    /// A new step answers for itself only: what the kernel ended in one that went before, the packing
    /// of an artifact say, is not this one's want of memory, and what that one held is gone.
    pub fn begin_step(&mut self) {
        self.next_walk = Instant::now();
        self.kernel = KernelMemory::new(matches!(self.scope, Scope::Jail));
        self.ended_before = self.meter.as_ref().map_or(0, Meter::out_of_memory_kills);
    }

    fn was_enforced(&self) -> bool {
        let before = self.ended_before;
        self.meter.as_ref().is_some_and(|meter| meter.out_of_memory_kills() > before)
    }

    /// How long until the next [`Watchdog::check`].
    pub fn interval(&self, age: Duration) -> Duration {
        match (&self.meter, &self.cpu_limit) {
            (None, _) if age < WITHOUT_GROUP => YOUNG,
            (None, _) => WITHOUT_GROUP,
            (Some(_), Some(limit)) => WITH_GROUP.min(*limit / 10).max(Duration::from_millis(2)),
            (Some(_), None) => WITH_GROUP,
        }
    }

    /// Whether looking at processes is all that limits them.
    pub fn is_all(&self) -> bool {
        self.meter.is_none() || matches!(self.scope, Scope::Tree { .. })
    }

    /// The limit that has been passed, while processes still run.
    pub fn check(&mut self) -> Option<Cause> {
        if is_left_out(Layer::Watchdog) {
            return None;
        }
        if self.meter.is_none() || self.shares_user {
            let faces = faces(&self.processes());
            self.look_at_descriptors(&faces);
            if self.meter.is_none() && self.memory_in_use(&faces) > self.memory_limit {
                return Some(Cause::Memory);
            }
            if self.shares_user && self.held.descriptors.pipes > PIPES_MAX {
                return Some(Cause::Pipes);
            }
        }
        if self.was_enforced() {
            return Some(Cause::Memory);
        }
        if self.folder_is_full() {
            return Some(Cause::Files);
        }
        self.cpu_is_used_up().then_some(Cause::Cpu)
    }

    /// What is held through descriptors is looked at a fifth of the time at most, and not at all in between: the
    /// sum of the processes' own pages is quicker, and is to be looked at often.
    fn look_at_descriptors(&mut self, faces: &[Face]) {
        let begun = Instant::now();
        if begun < self.next_walk {
            return;
        }
        self.held = Held::by(faces, self.is_all());
        self.next_walk = Instant::now() + begun.elapsed() * 4;
    }

    /// Memory of the processes: their own pages, page tables and swap, and what they share. Shared memory
    /// that nobody has mapped at the moment is counted where it can be found: in the writable file system,
    /// in memfds that are open, in System V segments. Pages that a fork shares count once for each process;
    /// only where that sum is too much, their proper shares are asked for.
    fn memory_in_use(&mut self, faces: &[Face]) -> u64 {
        let files = if matches!(self.scope, Scope::Jail) { sys::bytes_used(c"/tmp") } else { 0 };
        let (mut anonymous, mut kernel, mut mapped) = (0, 0, 0);
        for face in faces {
            anonymous += face.bytes("RssAnon:");
            kernel += face.bytes("VmPTE:") + face.bytes("VmSwap:");
            mapped += face.bytes("RssShmem:");
        }
        kernel = self.kernel.bytes(faces, &self.held.descriptors).saturating_add(kernel);
        let segments = system_v::sum("shm", "rss");
        let shared = (files + self.held.memfds + segments).max(mapped);
        // What is mapped and not there any more, as far as these pages are told, may be there all the same.
        if self.kernel.shared_bytes() > self.memory_limit {
            kernel = u64::MAX;
        }
        let sum = kernel.saturating_add(anonymous + shared);
        let used = match sum > self.memory_limit {
            true => {
                proper_shares(faces).map_or(sum, |proper| kernel.saturating_add(proper + shared))
            }
            false => sum,
        };
        // A number that is too large is not an amount.
        if used < u64::MAX {
            self.peak = self.peak.max(used);
        }
        used
    }

    /// The limit that the kernel has enforced, once every process is gone.
    pub fn verdict_at_end(&mut self) -> Option<Cause> {
        self.was_enforced().then_some(Cause::Memory)
    }

    /// Never less than before: time of processes that nobody waited for is gone with them.
    pub fn cpu_time(&mut self) -> Duration {
        let now = match &self.meter {
            Some(meter) => Duration::from_micros(meter.cpu_time_us()),
            None => {
                let processes = self.processes();
                (sys::children_usage().0 + self.seen.look_at(&processes)).max(self.seen.total())
            }
        };
        self.cpu = self.cpu.max(now);
        self.cpu
    }

    pub fn cpu_is_used_up(&mut self) -> bool {
        let used = self.cpu_time();
        self.cpu_limit.is_some_and(|limit| used >= limit)
    }

    /// Looks into the folder now and then: without a file system of its own, nothing else bounds it.
    /// What cannot be measured is too much, and what has no name any more takes its space as before.
    fn folder_is_full(&mut self) -> bool {
        let Scope::Tree { folder, bytes, files, looked } = &mut self.scope else { return false };
        if looked.elapsed() < FOLDER {
            return false;
        }
        *looked = Instant::now();
        let (bytes, files) = (*bytes, *files);
        let Some(content) = folder::measure(folder) else { return true };
        let held = Held::by(&faces(&self.processes()), true);
        content.bytes + held.nameless > bytes || content.files > files
    }

    /// Every process of the run but the init.
    pub fn processes(&self) -> Vec<libc::pid_t> {
        if matches!(self.scope, Scope::Tree { .. }) {
            return tree::own();
        }
        proc::all().filter(|pid| *pid != 1).collect()
    }

    /// Every process that the run has anywhere, as far as the kernel tells.
    pub fn members(&self) -> Vec<libc::pid_t> {
        let own = std::process::id() as libc::pid_t;
        let mut found = self.processes();
        let group = self.meter.as_ref().map(Meter::members).unwrap_or_default();
        found.extend(group.into_iter().filter(|pid| *pid != own));
        found.sort_unstable();
        found.dedup();
        found
    }

    pub fn peak_memory_bytes(&mut self) -> u64 {
        let counted = self.meter.as_ref().map_or(0, Meter::peak_bytes);
        // Resident size of the largest process: what is left to tell where nothing counted.
        let fallback = if counted == 0 { sys::children_usage().1 } else { 0 };
        self.peak.max(counted).max(fallback)
    }
}

/// None if it would take too long: a process may map so much that the walk takes longer than it may live.
fn proper_shares(faces: &[Face]) -> Option<u64> {
    let end = Instant::now() + WALK;
    faces.iter().map(|face| face.proper_share().filter(|_| Instant::now() <= end)).sum()
}

fn faces(processes: &[libc::pid_t]) -> Vec<Face> {
    processes.iter().filter_map(|pid| Face::of(*pid)).collect()
}

/// What processes hold through descriptors, each once.
#[derive(Default)]
struct Held {
    /// Bytes in memfds.
    memfds: u64,
    /// Bytes of files that have no name any more.
    nameless: u64,
    descriptors: Descriptors,
}

impl Held {
    /// A process that nobody may look at, since its user may execute its program and not read it, could hold
    /// anything: it is ended if this is all that limits it.
    fn by(faces: &[Face], end_unseen: bool) -> Held {
        let mut held = Held::default();
        let mut seen = HashSet::new();
        for face in faces {
            let Ok(descriptors) = face.descriptors() else {
                if end_unseen {
                    let _ = sys::kill(face.pid, libc::SIGKILL);
                }
                continue;
            };
            if held.descriptors.all > DESCRIPTORS_MAX {
                return held;
            }
            for path in descriptors {
                held.add(&path, &mut seen);
            }
        }
        held
    }

    fn add(&mut self, path: &std::path::Path, seen: &mut HashSet<(u64, u64)>) {
        let Ok(target) = fs::read_link(path) else { return };
        let target = target.as_os_str().as_encoded_bytes();
        self.descriptors.all += 1;
        let starts = |with: &[u8]| target.starts_with(with);
        let [memfd, socket, pipe] = [starts(b"/memfd:"), starts(b"socket:"), starts(b"pipe:")];
        // A file without a name, or a pipe with one.
        let named = starts(b"/");
        if !(memfd || socket || pipe || named) {
            return;
        }
        let Ok(found) = fs::metadata(path) else { return };
        if !seen.insert((found.dev(), found.ino())) {
        } else if socket {
            self.descriptors.sockets += 1;
        } else if found.file_type().is_fifo() {
            self.descriptors.pipes += 1;
        } else if memfd {
            self.memfds += found.blocks() * 512;
        } else if found.is_file() && found.nlink() == 0 {
            self.nameless += found.blocks() * 512;
        }
    }
}

/// Processor time of every process that was ever seen: of one whose parent does not wait for it,
/// nothing is left once it has ended.
#[derive(Default)]
struct Seen {
    /// Of those that still run, by number and time of start: a number may come again.
    ticks: HashMap<(libc::pid_t, String), u64>,
    sum: u64,
}

const TICK: Duration = Duration::from_millis(10); // USER_HZ is 100 on every port of Linux

impl Seen {
    /// Time of the processes that have not been reaped, with that of the children they have waited for.
    fn look_at(&mut self, processes: &[libc::pid_t]) -> Duration {
        let mut running = 0;
        let before = std::mem::take(&mut self.ticks);
        for pid in processes {
            let Some(fields) = proc::stat(*pid) else { continue };
            let field = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
            let ticks = |index| field(index).unwrap_or(0u64);
            let own = ticks(11) + ticks(12);
            running += own + ticks(13) + ticks(14);
            let start = fields.get(19).cloned().unwrap_or_default();
            let known = before.get(&(*pid, start.clone())).copied().unwrap_or(0);
            self.sum += own.saturating_sub(known);
            self.ticks.insert((*pid, start), own.max(known));
        }
        time(running)
    }

    fn total(&self) -> Duration {
        time(self.sum)
    }
}

fn time(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_program_held_does_not_count_against_the_next() {
        let limits = RunLimits { memory_bytes: 1 << 40, ..RunLimits::default() };
        let mut watchdog = Watchdog::new(&limits, Scope::Jail, None, false);
        watchdog.held.memfds = 1 << 50;
        watchdog.next_walk = Instant::now() + Duration::from_secs(3600);
        assert!(watchdog.memory_in_use(&[]) >= 1 << 50);
        watchdog.begin_step();
        watchdog.look_at_descriptors(&[]);
        assert!(watchdog.memory_in_use(&[]) < 1 << 50);
    }
}
