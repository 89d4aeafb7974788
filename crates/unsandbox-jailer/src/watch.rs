// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run has used, and whether that is too much: read from the run's control group where there is
//! one, else summed over the processes of the jail.

use crate::cgroup::Meter;
use crate::sys;
use std::fs;
use std::time::Duration;
use unsandbox_jailer::message::{Cause, RunLimits};

pub struct Watchdog {
    meter: Option<Meter>,
    memory_limit: u64,
    cpu_limit: Option<Duration>,
    peak: u64,
}

/// With a group the kernel enforces memory itself; a look now and then sees that it had to.
const WITH_GROUP: Duration = Duration::from_millis(50);
/// Without one, memory can grow by some MB a millisecond. A young process is looked at more often.
const WITHOUT_GROUP: Duration = Duration::from_millis(20);
const YOUNG: Duration = Duration::from_millis(5);

impl Watchdog {
    pub fn new(limits: &RunLimits, meter: Option<Meter>) -> Watchdog {
        let cpu = Duration::from_millis(limits.cpu_time_ms);
        Watchdog {
            meter,
            memory_limit: limits.memory_bytes,
            cpu_limit: (!cpu.is_zero()).then_some(cpu),
            peak: 0,
        }
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
        let memory = match &mut self.meter {
            Some(meter) => meter.out_of_memory_kills() > 0,
            None => {
                let used = memory_in_use(self.memory_limit);
                self.peak = self.peak.max(used);
                used > self.memory_limit
            }
        };
        if memory {
            return Some(Cause::Memory);
        }
        let limit = self.cpu_limit?;
        (self.cpu_time() >= limit).then_some(Cause::Cpu)
    }

    /// The limit that the kernel has enforced, once every process is gone.
    pub fn verdict_at_end(&mut self) -> Option<Cause> {
        let killed = self.meter.as_mut().is_some_and(|meter| meter.out_of_memory_kills() > 0);
        killed.then_some(Cause::Memory)
    }

    pub fn cpu_time(&mut self) -> Duration {
        match &mut self.meter {
            Some(meter) => Duration::from_micros(meter.cpu_time_us()),
            None => sys::children_usage().0 + running_cpu_time(),
        }
    }

    pub fn peak_memory_bytes(&mut self) -> u64 {
        let counted = self.meter.as_mut().map_or(0, Meter::peak_bytes);
        // Resident size of the largest process: what is left to tell where nothing counted.
        let fallback = if counted == 0 { sys::children_usage().1 } else { 0 };
        self.peak.max(counted).max(fallback)
    }
}

/// Every process of the jail but the init.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (name.bytes().all(|b| b.is_ascii_digit()) && name != "1").then_some(name)
    })
}

/// Resident memory of the processes and of the writable files. Pages that processes share are counted
/// once for each; only where that sum is too much, their proper shares are asked for.
fn memory_in_use(limit: u64) -> u64 {
    const PAGE: u64 = 4096;
    let files = sys::bytes_used(c"/tmp");
    let resident = |pid: &String| {
        let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
    };
    let sum: u64 = processes().filter_map(|pid| resident(&pid)).sum();
    if files + sum <= limit {
        return files + sum;
    }
    let share = |pid: &String| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb * 1024)
    };
    files + processes().filter_map(|pid| share(&pid).or_else(|| resident(&pid))).sum::<u64>()
}

/// Processor time of the processes that have not been reaped.
fn running_cpu_time() -> Duration {
    const TICK: Duration = Duration::from_millis(10); // USER_HZ is 100 on every port of Linux
    let ticks = |pid: String| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in brackets that may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?)
    };
    TICK * processes().filter_map(ticks).sum::<u32>()
}
