// SPDX-License-Identifier: MIT OR Apache-2.0
//! How fast a program prints, and what is to be done about it. A line that is shown costs up to half a microsecond.

use super::functions::function;
use super::system::cycles;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// A program prints much if it makes this many calls within this processor time and this time. The processor time is
/// what counts: on a machine that does other work too, the second is long.
const CALLS_MAX: i64 = 5_000;
const CPU_TIME_MAX_NS: i64 = 25_000_000;
const WALL_TIME_MAX_NS: i64 = 250_000_000;

/// How long gathered output may wait, and how long output is gathered before each line is shown again.
const SHOW_AFTER_NS: i64 = 20_000_000;
const GATHER_NS: i64 = 200_000_000;

/// Calls between two looks at the clock while output is gathered: to look costs as much as some calls.
const STEP: i64 = 8;

#[repr(C)]
pub struct Pace {
    /// Calls until the next look. The first field, for `trampoline.rs`.
    left: AtomicI64,
    /// The processor's counter when what is gathered is to be shown.
    deadline: AtomicU64,
    is_gathering: AtomicBool,
    /// When counting or gathering began, also by the counter and by the processor time.
    since: AtomicI64,
    since_cycles: AtomicU64,
    since_cpu: AtomicI64,
    /// Cycles in [`SHOW_AFTER_NS`].
    wait_cycles: AtomicU64,
}

pub enum Look {
    /// The program prints little.
    Little,
    /// It prints much, and its output is to be gathered: then [`Pace::gather`].
    Gather,
    /// It is gathered, and was shown a moment ago.
    Wait,
    /// What is gathered is to be shown.
    Show,
    /// So it is, and each line again: then [`Pace::restart`].
    ShowEach,
}

impl Pace {
    /// One that is looked at by the first call.
    pub const fn new() -> Pace {
        Pace {
            left: AtomicI64::new(-1),
            deadline: AtomicU64::new(u64::MAX),
            is_gathering: AtomicBool::new(false),
            since: AtomicI64::new(0),
            since_cycles: AtomicU64::new(0),
            since_cpu: AtomicI64::new(0),
            wait_cycles: AtomicU64::new(0),
        }
    }

    pub fn is_gathering(&self) -> bool {
        self.is_gathering.load(Relaxed)
    }

    /// Counts a call; whether it is time to look.
    pub fn count(&self) -> bool {
        let left = self.left.load(Relaxed).wrapping_sub(1);
        self.left.store(left, Relaxed);
        left < 0
    }

    /// Whether the next call is one to look at.
    pub fn is_due(&self) -> bool {
        self.left.load(Relaxed) <= 0
    }

    /// Counts anew.
    pub fn restart(&self) {
        self.is_gathering.store(false, Relaxed);
        self.deadline.store(u64::MAX, Relaxed);
        self.since.store(nanoseconds(MONOTONIC), Relaxed);
        self.since_cycles.store(cycles(), Relaxed);
        self.since_cpu.store(nanoseconds(PROCESS_CPUTIME), Relaxed);
        self.left.store(CALLS_MAX, Relaxed);
    }

    /// Counts no more.
    pub fn stop(&self) {
        self.is_gathering.store(false, Relaxed);
        self.left.store(i64::MAX, Relaxed);
    }

    pub fn gather(&self) {
        let (now, counter) = (nanoseconds(MONOTONIC), cycles());
        let passed_ns = now.wrapping_sub(self.since.load(Relaxed)).max(1) as u64;
        let passed = counter.wrapping_sub(self.since_cycles.load(Relaxed));
        let wait = passed.saturating_mul(SHOW_AFTER_NS as u64) / passed_ns;
        self.wait_cycles.store(wait, Relaxed);
        self.deadline.store(counter.wrapping_add(wait), Relaxed);
        self.since.store(now, Relaxed);
        self.left.store(STEP, Relaxed);
        self.is_gathering.store(true, Relaxed);
    }

    pub fn look(&self) -> Look {
        if self.is_gathering() {
            self.left.store(STEP, Relaxed);
            if cycles() < self.deadline.load(Relaxed) {
                return Look::Wait;
            }
        }
        let passed =
            |clock, since: &AtomicI64| nanoseconds(clock).wrapping_sub(since.load(Relaxed));
        let time = passed(MONOTONIC, &self.since);
        if !self.is_gathering() {
            if time < WALL_TIME_MAX_NS && passed(PROCESS_CPUTIME, &self.since_cpu) < CPU_TIME_MAX_NS
            {
                return Look::Gather;
            }
            self.restart();
            return Look::Little;
        }
        if time >= GATHER_NS {
            return Look::ShowEach;
        }
        self.deadline.store(cycles().wrapping_add(self.wait_cycles.load(Relaxed)), Relaxed);
        Look::Show
    }
}

const MONOTONIC: c_int = 1;
const PROCESS_CPUTIME: c_int = 2;

fn nanoseconds(clock: c_int) -> i64 {
    type Get = extern "C" fn(c_int, *mut [i64; 2]) -> c_int;
    let mut time = [0; 2];
    if let Some(get) = function!(clock_gettime: Get) {
        get(clock, &mut time);
    }
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}
