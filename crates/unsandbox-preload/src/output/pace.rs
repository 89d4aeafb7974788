// SPDX-License-Identifier: MIT OR Apache-2.0
//! How fast a program prints, and what is to be done about it. A line that is shown costs up to half a microsecond.

use super::functions::function;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

/// Calls that a program makes, if it prints much, within this processor time and this time, in nanoseconds. The first
/// is what counts: on a machine that does other work too, the second is long.
const BUDGET: i64 = 5_000;
const PROCESSOR_TIME: i64 = 25_000_000;
const MOMENT: i64 = 250_000_000;
/// Calls between two looks at the clock while output is gathered.
const STEP: i64 = 64;
/// Nanoseconds after which what is gathered is shown.
const TICK: i64 = 20_000_000;
/// Nanoseconds after which each line is shown again.
const WHILE: i64 = 200_000_000;

#[repr(C)]
pub struct Pace {
    /// Calls until the next look. The first field, for `trampoline.rs`.
    left: AtomicI64,
    /// When counting or gathering began, and when what is gathered was shown.
    since: AtomicI64,
    shown: AtomicI64,
    /// The processor time when counting began.
    used: AtomicI64,
    is_gathering: AtomicBool,
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
            since: AtomicI64::new(0),
            shown: AtomicI64::new(0),
            used: AtomicI64::new(0),
            is_gathering: AtomicBool::new(false),
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

    /// Counts anew.
    pub fn restart(&self) {
        self.is_gathering.store(false, Relaxed);
        self.since.store(nanoseconds(MONOTONIC_COARSE), Relaxed);
        self.used.store(nanoseconds(PROCESS_CPUTIME), Relaxed);
        self.left.store(BUDGET, Relaxed);
    }

    /// Counts no more.
    pub fn stop(&self) {
        self.is_gathering.store(false, Relaxed);
        self.left.store(i64::MAX, Relaxed);
    }

    /// Whether the next call is one to look at.
    pub fn is_due(&self) -> bool {
        self.left.load(Relaxed) <= 0
    }

    pub fn gather(&self) {
        let now = nanoseconds(MONOTONIC_COARSE);
        self.since.store(now, Relaxed);
        self.shown.store(now, Relaxed);
        self.left.store(STEP, Relaxed);
        self.is_gathering.store(true, Relaxed);
    }

    pub fn look(&self) -> Look {
        if !self.is_gathering() {
            let since =
                |clock, begin: &AtomicI64| nanoseconds(clock).wrapping_sub(begin.load(Relaxed));
            if since(MONOTONIC_COARSE, &self.since) < MOMENT
                && since(PROCESS_CPUTIME, &self.used) < PROCESSOR_TIME
            {
                return Look::Gather;
            }
            self.restart();
            return Look::Little;
        }
        self.left.store(STEP, Relaxed);
        let now = nanoseconds(MONOTONIC_COARSE);
        if now.wrapping_sub(self.since.load(Relaxed)) >= WHILE {
            return Look::ShowEach;
        }
        if now.wrapping_sub(self.shown.load(Relaxed)) < TICK {
            return Look::Wait;
        }
        self.shown.store(now, Relaxed);
        Look::Show
    }
}

const PROCESS_CPUTIME: c_int = 2;
const MONOTONIC_COARSE: c_int = 6;

fn nanoseconds(clock: c_int) -> i64 {
    type Get = extern "C" fn(c_int, *mut [i64; 2]) -> c_int;
    let mut time = [0; 2];
    if let Some(get) = function!(clock_gettime: Get) {
        get(clock, &mut time);
    }
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}
