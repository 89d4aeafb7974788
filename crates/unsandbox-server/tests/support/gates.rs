// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds the threads of the backend until a test lets them go.

use super::TEST_TIMEOUT;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long the program of `timed` is compiled, and runs.
pub const COMPILE_MS: u64 = 2;
pub const RUN_MS: u64 = 3;

/// Opened once by a test, waited for by any number of threads.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub fn wait(&self) {
        let open = self.open.lock().unwrap();
        let (_open, wait) =
            self.changed.wait_timeout_while(open, TEST_TIMEOUT, |open| !*open).unwrap();
        assert!(!wait.timed_out(), "the gate was never opened");
    }
}

/// Holds the threads that pass while it is closed, for as long as a test waits at most.
#[derive(Default)]
pub struct Hold {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    is_closed: bool,
    count: usize,
}

impl Hold {
    pub fn close(&self) {
        self.state.lock().unwrap().is_closed = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().is_closed = false;
        self.changed.notify_all();
    }

    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.count += 1;
        self.changed.notify_all();
        drop(
            self.changed.wait_timeout_while(state, TEST_TIMEOUT, |state| state.is_closed).unwrap(),
        );
    }

    /// Waits until so many have come, and gives how many they are then.
    pub fn wait_for(&self, count: usize) -> usize {
        let state = self.state.lock().unwrap();
        let fewer = |state: &mut Held| state.count < count;
        let (state, wait) = self.changed.wait_timeout_while(state, TEST_TIMEOUT, fewer).unwrap();
        assert!(!wait.timed_out(), "{count} never came");
        state.count
    }
}

/// Takes as long as a program that is not there.
pub fn pass(ms: u64) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(ms) {
        std::thread::yield_now();
    }
}
