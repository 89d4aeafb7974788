// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many calls a program may make before it is looked at.

use super::libc::*;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};

/// Calls after which a program may be one that prints much; a line costs a microsecond.
const BUDGET: i64 = 1_000;
/// Nanoseconds in which it makes them then.
const MOMENT: i64 = 20_000_000;
/// Calls between two looks while its output is gathered.
const STEP: i64 = 64;
/// Nanoseconds after which what is gathered is shown.
const TICK: i64 = 20_000_000;
/// Nanoseconds after which lines are shown and counted again.
const WHILE: i64 = 200_000_000;

/// Calls that are left. Until the C library's functions are known there is none.
pub static LEFT: AtomicI64 = AtomicI64::new(-1);
/// When counting or gathering began, and when what is gathered was shown.
static SINCE: AtomicI64 = AtomicI64::new(0);
static SHOWN: AtomicI64 = AtomicI64::new(0);
/// Whether standard output is this object's to set.
pub static IS_OURS: AtomicBool = AtomicBool::new(false);

pub enum Gathered {
    Little,
    ToShow,
    LongEnough,
}

/// Counts anew.
pub fn restart() {
    SINCE.store(nanoseconds(CLOCK_MONOTONIC), SeqCst);
    LEFT.store(BUDGET, SeqCst);
}

/// Counts no more.
pub fn stop() {
    LEFT.store(i64::MAX, SeqCst);
}

/// Whether the calls were made within a moment.
pub fn is_busy() -> bool {
    nanoseconds(CLOCK_MONOTONIC) - SINCE.load(SeqCst) < MOMENT
}

pub fn begin_gathering() {
    let now = nanoseconds(CLOCK_MONOTONIC_COARSE);
    SINCE.store(now, SeqCst);
    SHOWN.store(now, SeqCst);
    LEFT.store(STEP, SeqCst);
}

pub fn gathered() -> Gathered {
    LEFT.store(STEP, SeqCst);
    let now = nanoseconds(CLOCK_MONOTONIC_COARSE);
    if now - SINCE.load(SeqCst) >= WHILE {
        return Gathered::LongEnough;
    }
    if now - SHOWN.load(SeqCst) < TICK {
        return Gathered::Little;
    }
    SHOWN.store(now, SeqCst);
    Gathered::ToShow
}

fn nanoseconds(clock: c_int) -> i64 {
    let mut time = [0; 2];
    // SAFETY: room for the time.
    unsafe { clock_gettime(clock, &mut time) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}
