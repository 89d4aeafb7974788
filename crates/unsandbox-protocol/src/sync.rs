// SPDX-License-Identifier: MIT OR Apache-2.0
//! Locks of this workspace. Nothing that can panic runs under one, so a poisoned lock is a bug.

use std::sync::{Mutex, MutexGuard};

/// Locks `mutex`.
///
/// # Panics
///
/// If a thread has panicked under this lock, which is a bug.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic under this lock")
}
