// SPDX-License-Identifier: MIT OR Apache-2.0
//! The numbers of descriptors in the reactor's event queue.

use rustix::event::epoll::EventData;

pub const WAKE: u64 = 0;
pub const JAILER_SOCKET: u64 = 1;
pub const JAILER_ENDED: u64 = 2;

/// The descriptors of one run.
pub const CONTROL: u64 = 0;
pub const STDOUT: u64 = 1;
pub const STDERR: u64 = 2;

/// The count of numbers for each run. Ids of runs begin at 1, so their numbers are above the reactor's own.
const EACH: u64 = 4;

pub fn of_run(id: u64, which: u64) -> EventData {
    EventData::new_u64(id * EACH + which)
}

pub fn is_output(number: u64) -> bool {
    let (id, which) = run_of(number);
    id != 0 && which != CONTROL
}

/// The id of a run and which of its descriptors it is.
pub fn run_of(number: u64) -> (u64, u64) {
    (number / EACH, number % EACH)
}
