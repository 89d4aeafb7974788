// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures what a run uses and compares it with the limits. The numbers come from the run's control group where there
//! is one, else from a sum over the processes of the jail.

use crate::folder;
use crate::init::kernel_memory::{DESCRIPTORS_MAX, Descriptors, KernelMemory};
use crate::init::system_v;
use crate::layers::ablation::{Layer, is_left_out};
use crate::layers::cgroup::Meter;
use crate::proc::{self, ProcessInfo};
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
    Tree { folder: PathBuf, bytes: u64, files: u64, measured: Instant },
}

pub struct Watchdog {
    scope: Scope,
    meter: Option<Meter>,
    memory_limit: u64,
    cpu_limit: Option<Duration>,
    peak: u64,
    cpu: Duration,
    /// Processor time of reaped processes that another watchdog counts.
    foreign: Duration,
    cpu_times: CpuTimes,
    /// The largest resident size of a reaped process.
    reaped_peak: u64,
    kernel: KernelMemory,
    /// Whether pipes are taken from those of the host's user.
    shares_user: bool,
    descriptor_usage: DescriptorUsage,
    next_scan: Instant,
    /// How many processes the kernel ended for lack of memory before this step.
    ended_before: u64,
}

/// With a group the kernel enforces the memory limit; the watchdog only checks now and then whether it did.
const INTERVAL_WITH_GROUP: Duration = Duration::from_millis(50);
/// Without one, memory can grow by some MB a millisecond. A new process is checked more often.
const INTERVAL_WITHOUT_GROUP: Duration = Duration::from_millis(20);
const INTERVAL_AT_FIRST: Duration = Duration::from_millis(5);
/// How long reading the processes' proportional shares may take.
const SCAN_BUDGET: Duration = Duration::from_millis(100);
/// How often a run's folder is measured where it has no file system of its own.
const INTERVAL_OF_FOLDER: Duration = Duration::from_millis(100);

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
            foreign: Duration::ZERO,
            cpu_times: CpuTimes::default(),
            reaped_peak: 0,
            descriptor_usage: DescriptorUsage::default(),
            next_scan: Instant::now(),
            ended_before: 0,
        }
    }

    /// Resets the counts for a new step. A process that the kernel ended in an earlier step (such as the packing of an
    /// artifact) does not count against this one, and the memory that the earlier step held is free.
    pub fn begin_step(&mut self) {
        self.next_scan = Instant::now();
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
            (None, _) if age < INTERVAL_WITHOUT_GROUP => INTERVAL_AT_FIRST,
            (None, _) => INTERVAL_WITHOUT_GROUP,
            (Some(_), Some(limit)) => {
                INTERVAL_WITH_GROUP.min(*limit / 10).max(Duration::from_millis(2))
            }
            (Some(_), None) => INTERVAL_WITH_GROUP,
        }
    }

    /// Whether the watchdog alone enforces some limit.
    pub fn is_all(&self) -> bool {
        self.meter.is_none() || matches!(self.scope, Scope::Tree { .. })
    }

    /// Whether the kernel counts, too.
    pub fn has_group(&self) -> bool {
        self.meter.is_some()
    }

    /// The limit that the running processes have passed.
    pub fn check(&mut self) -> Option<Cause> {
        if is_left_out(Layer::Watchdog) {
            return None;
        }
        if self.meter.is_none() || self.shares_user {
            let infos = process_infos(&self.processes());
            self.scan_descriptors(&infos);
            if self.meter.is_none() && self.memory_in_use(&infos) > self.memory_limit {
                return Some(Cause::Memory);
            }
            if self.shares_user && self.descriptor_usage.descriptors.pipes > PIPES_MAX {
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

    /// Counts what descriptors hold, for at most a fifth of the time. The sum of the processes' own pages is quicker to
    /// read and is read more often.
    fn scan_descriptors(&mut self, infos: &[ProcessInfo]) {
        let begun = Instant::now();
        if begun < self.next_scan {
            return;
        }
        self.descriptor_usage = DescriptorUsage::by(infos, self.is_all());
        self.next_scan = Instant::now() + begun.elapsed() * 4;
    }

    /// Memory of the processes: their own pages, page tables, swap, and shared memory. Shared memory that is not
    /// mapped at the moment is counted in the writable file system and in System V segments; there are no memfds. Pages that
    /// a fork shares count once for each process; only if that sum is above the limit, the proportional shares are
    /// read.
    fn memory_in_use(&mut self, infos: &[ProcessInfo]) -> u64 {
        let files = if matches!(self.scope, Scope::Jail) { sys::bytes_used(c"/tmp") } else { 0 };
        let (mut anonymous, mut kernel, mut mapped) = (0, 0, 0);
        for info in infos {
            anonymous += info.bytes("RssAnon:");
            kernel += info.bytes("VmPTE:") + info.bytes("VmSwap:");
            mapped += info.bytes("RssShmem:");
        }
        kernel =
            self.kernel.bytes(infos, &self.descriptor_usage.descriptors).saturating_add(kernel);
        let segments = system_v::sum("shm", "rss");
        let shared = (files + segments).max(mapped);
        // Mapped shared memory may be allocated although no count of pages shows it.
        if self.kernel.shared_bytes() > self.memory_limit {
            kernel = u64::MAX;
        }
        let sum = kernel.saturating_add(anonymous + shared);
        let used = match sum > self.memory_limit {
            true => {
                proper_shares(infos).map_or(sum, |proper| kernel.saturating_add(proper + shared))
            }
            false => sum,
        };
        // u64::MAX stands for "too much" and is not an amount.
        if used < u64::MAX {
            self.peak = self.peak.max(used);
        }
        used
    }

    /// The limit that the kernel has enforced, once every process is gone.
    pub fn verdict_at_end(&mut self) -> Option<Cause> {
        self.was_enforced().then_some(Cause::Memory)
    }

    /// Never less than before: the kernel drops the time of processes that nobody waited for.
    pub fn cpu_time(&mut self) -> Duration {
        let now = match &self.meter {
            Some(meter) => Duration::from_micros(meter.cpu_time_us()),
            None => {
                let processes = self.processes();
                let reaped = sys::children_time().saturating_sub(self.foreign);
                (reaped + self.cpu_times.sample(&processes)).max(self.cpu_times.total())
            }
        };
        self.cpu = self.cpu.max(now);
        self.cpu
    }

    /// Leaves out time of processes that are not its own. All of them were children of this init.
    pub fn leave_out(&mut self, foreign: Duration) {
        self.foreign += foreign;
    }

    pub fn note_reaped(&mut self, peak_bytes: u64) {
        self.reaped_peak = self.reaped_peak.max(peak_bytes);
    }

    pub fn cpu_is_used_up(&mut self) -> bool {
        let used = self.cpu_time();
        self.cpu_limit.is_some_and(|limit| used >= limit)
    }

    /// Measures the folder now and then: without a file system of its own, nothing else limits it. A folder that cannot
    /// be measured counts as full, and an open file that was removed still counts.
    fn folder_is_full(&mut self) -> bool {
        let Scope::Tree { folder, bytes, files, measured } = &mut self.scope else { return false };
        if measured.elapsed() < INTERVAL_OF_FOLDER {
            return false;
        }
        *measured = Instant::now();
        let (bytes, files) = (*bytes, *files);
        let Some(content) = folder::measure(folder) else { return true };
        let held = DescriptorUsage::by(&process_infos(&self.processes()), true);
        content.bytes + held.nameless > bytes || content.files > files
    }

    /// Every process of the run but the init.
    pub fn processes(&self) -> Vec<libc::pid_t> {
        if matches!(self.scope, Scope::Tree { .. }) {
            return tree::own();
        }
        proc::all().filter(|pid| *pid != 1).collect()
    }

    /// Every process of the run, from the process tree and from the control group.
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
        // Where nothing was counted: the resident size of the largest process.
        let fallback = if counted == 0 { self.reaped_peak } else { 0 };
        self.peak.max(counted).max(fallback)
    }
}

/// `None` if it would take too long: a process may map so much that reading it exceeds the time limit of the run.
fn proper_shares(infos: &[ProcessInfo]) -> Option<u64> {
    let end = Instant::now() + SCAN_BUDGET;
    infos.iter().map(|info| info.proper_share().filter(|_| Instant::now() <= end)).sum()
}

fn process_infos(processes: &[libc::pid_t]) -> Vec<ProcessInfo> {
    processes.iter().filter_map(|pid| ProcessInfo::of(*pid)).collect()
}

/// What processes hold through descriptors; a file that several of them hold counts once.
#[derive(Default)]
struct DescriptorUsage {
    /// Bytes of open files that were removed.
    nameless: u64,
    descriptors: Descriptors,
}

impl DescriptorUsage {
    /// The kernel hides the descriptors of a process whose program its user may execute and not read. Such a process
    /// could hold any amount, so it is killed (`end_unseen`) where only the watchdog limits it.
    fn by(infos: &[ProcessInfo], end_unseen: bool) -> DescriptorUsage {
        let mut held = DescriptorUsage::default();
        let mut seen = HashSet::new();
        for info in infos {
            let Ok(descriptors) = info.descriptors() else {
                if end_unseen {
                    let _ = sys::kill(info.pid, libc::SIGKILL);
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
        let [socket, pipe] = [starts(b"socket:"), starts(b"pipe:")];
        // A removed file, or a named pipe.
        let named = starts(b"/");
        if !(socket || pipe || named) {
            return;
        }
        let Ok(found) = fs::metadata(path) else { return };
        if !seen.insert((found.dev(), found.ino())) {
        } else if socket {
            self.descriptors.sockets += 1;
        } else if found.file_type().is_fifo() {
            self.descriptors.pipes += 1;
        } else if found.is_file() && found.nlink() == 0 {
            self.nameless += found.blocks() * 512;
        }
    }
}

/// Processor time of every process at its last sample. The kernel drops the time of a process whose parent does not
/// wait for it, so it is added up here.
#[derive(Default)]
struct CpuTimes {
    /// Of running processes, by process id and start time: the kernel reuses ids.
    ticks: HashMap<(libc::pid_t, String), u64>,
    sum: u64,
}

const TICK: Duration = Duration::from_millis(10); // USER_HZ is 100 on every port of Linux

impl CpuTimes {
    /// Time of the processes that have not been reaped, and of the children that they have waited for.
    fn sample(&mut self, processes: &[libc::pid_t]) -> Duration {
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
        watchdog.descriptor_usage.descriptors.sockets = 1 << 40;
        watchdog.next_scan = Instant::now() + Duration::from_secs(3600);
        assert!(watchdog.memory_in_use(&[]) >= 1 << 50);
        watchdog.begin_step();
        watchdog.scan_descriptors(&[]);
        assert!(watchdog.memory_in_use(&[]) < 1 << 50);
    }
}
