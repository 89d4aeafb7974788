// SPDX-License-Identifier: MIT OR Apache-2.0
//! A counting semaphore: for the connections of a run, of all runs, and for running lookups.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;

#[derive(Debug)]
pub struct Slots {
    max: usize,
    used: Mutex<usize>,
    changed: Condvar,
}

/// One place, which is free again when this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.used() -= 1;
        self.0.changed.notify_all();
    }
}

impl Slots {
    pub fn new(max: usize) -> Arc<Slots> {
        Arc::new(Slots { max, used: Mutex::new(0), changed: Condvar::new() })
    }

    fn used(&self) -> MutexGuard<'_, usize> {
        lock(&self.used)
    }

    pub fn max(&self) -> usize {
        self.max
    }

    pub fn used_now(&self) -> usize {
        *self.used()
    }

    pub fn free_now(&self) -> usize {
        self.max - self.used_now()
    }

    pub fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut used = self.used();
        (*used < self.max).then(|| {
            *used += 1;
            Slot(self.clone())
        })
    }

    /// Waits for a free place until `deadline`, or until `given_up` is true, which [`Slots::wake_waiters`] rechecks.
    pub fn take(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        given_up: impl Fn() -> bool,
    ) -> Option<Slot> {
        let mut used = self.used();
        while *used >= self.max {
            let rest =
                deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if rest.is_zero() || given_up() {
                return None;
            }
            used = match deadline {
                Some(_) => {
                    self.changed.wait_timeout(used, rest).expect("no panic under this lock").0
                }
                None => self.changed.wait(used).expect("no panic under this lock"),
            };
        }
        *used += 1;
        Some(Slot(self.clone()))
    }

    /// Makes all waiting threads check again whether to give up.
    pub fn wake_waiters(&self) {
        // A thread that has checked already, but does not wait yet, holds the lock.
        drop(self.used());
        self.changed.notify_all();
    }

    /// Waits until every place is free; false after `deadline`.
    pub fn wait_until_unused(&self, deadline: Instant) -> bool {
        let mut used = self.used();
        while *used > 0 {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            used = self.changed.wait_timeout(used, rest).expect("no panic under this lock").0;
        }
        true
    }
}
