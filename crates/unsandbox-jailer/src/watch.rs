// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run has used, and whether that is too much: read from the run's control group where there is
//! one, else summed over the processes of the jail.

use crate::ablation::{Layer, is_left_out};
use crate::cgroup::Meter;
use crate::{sys, tree};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use unsandbox_jailer::message::{Cause, RunLimits};

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
    pub fn new(limits: &RunLimits, scope: Scope, meter: Option<Meter>) -> Watchdog {
        let cpu = Duration::from_millis(limits.cpu_time_ms);
        Watchdog {
            scope,
            meter,
            memory_limit: limits.memory_bytes,
            cpu_limit: (!cpu.is_zero()).then_some(cpu),
            peak: 0,
            cpu: Duration::ZERO,
            ended_before: 0,
        }
    }

    /// A new step answers for itself only: what the kernel ended in one that went before, the packing
    /// of an artifact say, is not this one's want of memory.
    pub fn begin_step(&mut self) {
        self.ended_before = self.meter.as_mut().map_or(0, Meter::out_of_memory_kills);
    }

    fn was_enforced(&mut self) -> bool {
        let before = self.ended_before;
        self.meter.as_mut().is_some_and(|meter| meter.out_of_memory_kills() > before)
    }

    /// How long until the next [`Watchdog::check`].
    pub fn interval(&self, age: Duration) -> Option<Duration> {
        Some(match (&self.meter, &self.cpu_limit) {
            (None, _) if age < WITHOUT_GROUP => YOUNG,
            (None, _) => WITHOUT_GROUP,
            (Some(_), Some(limit)) => WITH_GROUP.min(*limit / 10).max(Duration::from_millis(2)),
            (Some(_), None) => WITH_GROUP,
        })
    }

    /// The limit that has been passed, while processes still run.
    pub fn check(&mut self) -> Option<Cause> {
        if is_left_out(Layer::Watchdog) {
            return None;
        }
        let memory = match &self.meter {
            Some(_) => self.was_enforced(),
            None => {
                let files =
                    if matches!(self.scope, Scope::Jail) { sys::bytes_used(c"/tmp") } else { 0 };
                let used = memory_in_use(&self.processes(), files, self.memory_limit);
                self.peak = self.peak.max(used);
                used > self.memory_limit
            }
        };
        if memory {
            return Some(Cause::Memory);
        }
        if self.folder_is_full() {
            return Some(Cause::Files);
        }
        self.cpu_is_used_up().then_some(Cause::Cpu)
    }

    /// The limit that the kernel has enforced, once every process is gone.
    pub fn verdict_at_end(&mut self) -> Option<Cause> {
        self.was_enforced().then_some(Cause::Memory)
    }

    /// Never less than before: time of processes that nobody waited for is gone with them.
    pub fn cpu_time(&mut self) -> Duration {
        let now = match &mut self.meter {
            Some(meter) => Duration::from_micros(meter.cpu_time_us()),
            None => sys::children_usage().0 + running_cpu_time(&self.processes()),
        };
        self.cpu = self.cpu.max(now);
        self.cpu
    }

    pub fn cpu_is_used_up(&mut self) -> bool {
        let used = self.cpu_time();
        self.cpu_limit.is_some_and(|limit| used >= limit)
    }

    /// Looks into the folder now and then: without a file system of its own, nothing else bounds it.
    fn folder_is_full(&mut self) -> bool {
        let Scope::Tree { folder, bytes, files, looked } = &mut self.scope else { return false };
        if looked.elapsed() < FOLDER {
            return false;
        }
        *looked = Instant::now();
        let (used, count) = tree::usage(folder);
        used > *bytes || count > *files
    }

    /// Every process of the run but the init.
    fn processes(&self) -> Vec<libc::pid_t> {
        if matches!(self.scope, Scope::Tree { .. }) {
            return tree::descendants(std::process::id() as libc::pid_t);
        }
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter(|pid| *pid != 1).collect()
    }

    pub fn peak_memory_bytes(&mut self) -> u64 {
        let counted = self.meter.as_mut().map_or(0, Meter::peak_bytes);
        // Resident size of the largest process: what is left to tell where nothing counted.
        let fallback = if counted == 0 { sys::children_usage().1 } else { 0 };
        self.peak.max(counted).max(fallback)
    }
}

/// Memory of the processes: their own pages, page tables and swap, and what they share. Shared memory
/// that nobody has mapped at the moment is counted where it can be found: in the writable file system,
/// in memfds that are open, in System V segments. Pages that a fork shares count once for each process;
/// only where that sum is too much, their proper shares are asked for.
fn memory_in_use(processes: &[libc::pid_t], files: u64, limit: u64) -> u64 {
    let (mut anonymous, mut kernel, mut mapped) = (0, 0, 0);
    for pid in processes {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        anonymous += kilobytes(&status, "RssAnon:");
        kernel += kilobytes(&status, "VmPTE:") + kilobytes(&status, "VmSwap:");
        mapped += kilobytes(&status, "RssShmem:");
    }
    let shared = (files + memfds(processes) + system_v_bytes()).max(mapped);
    let sum = anonymous + kernel + shared;
    if sum <= limit {
        return sum;
    }
    let patience = Instant::now() + WALK;
    let mut proper = 0;
    for pid in processes {
        // Gone meanwhile.
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        // A process may map so much that the walk takes longer than it may live.
        if Instant::now() > patience || !rollup.contains("Pss_Anon:") {
            return sum;
        }
        proper += kilobytes(&rollup, "Pss_Anon:");
    }
    proper + kernel + shared
}

/// The value of a line such as `VmRSS:   123 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// Bytes in the memfds that processes hold open, each once.
fn memfds(processes: &[libc::pid_t]) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut sum = 0;
    for pid in processes {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let path = entry.path();
            // As text: to a path, "/memfd:" is a name of its own.
            let named = |to: PathBuf| to.as_os_str().as_bytes().starts_with(b"/memfd:");
            let is_memfd = fs::read_link(&path).is_ok_and(named);
            if let Some(found) = is_memfd.then(|| fs::metadata(&path).ok()).flatten()
                && seen.insert(found.ino())
            {
                sum += found.blocks() * 512;
            }
        }
    }
    sum
}

/// Resident bytes of the System V segments of this ipc namespace.
fn system_v_bytes() -> u64 {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let mut lines = text.lines();
    let column =
        lines.next().and_then(|head| head.split_whitespace().position(|name| name == "rss"));
    let Some(column) = column else { return 0 };
    lines.filter_map(|line| line.split_whitespace().nth(column)?.parse::<u64>().ok()).sum()
}

/// Processor time of the processes that have not been reaped.
fn running_cpu_time(processes: &[libc::pid_t]) -> Duration {
    const TICK: Duration = Duration::from_millis(10); // USER_HZ is 100 on every port of Linux
    let ticks = |pid: &libc::pid_t| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in brackets that may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // Its own, and that of the children it has waited for.
        let field = |index: usize| fields.get(index)?.parse::<u32>().ok();
        Some(field(11)? + field(12)? + field(13)? + field(14)?)
    };
    TICK * processes.iter().filter_map(ticks).sum::<u32>()
}
