// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many calls a program may make before it is looked at.

use super::libc::*;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};

/// Calls after which a program may be one that prints much; a line costs a microsecond.
const BUDGET: i64 = 1_000;
/// Nanoseconds.
const MOMENT: i64 = 20_000_000;

/// Calls that are left. Until the C library's functions are known there is none.
pub static LEFT: AtomicI64 = AtomicI64::new(-1);
static SINCE: AtomicI64 = AtomicI64::new(0);
/// Whether standard output is this object's to set.
pub static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Counts anew.
pub fn restart() {
    SINCE.store(nanoseconds(), SeqCst);
    LEFT.store(BUDGET, SeqCst);
}

/// Counts no more.
pub fn stop() {
    LEFT.store(i64::MAX, SeqCst);
}

/// Whether the calls were made within a moment.
pub fn is_busy() -> bool {
    nanoseconds() - SINCE.load(SeqCst) < MOMENT
}

fn nanoseconds() -> i64 {
    let mut time = [0; 2];
    // SAFETY: room for the time.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}
