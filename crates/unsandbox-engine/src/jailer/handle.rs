// SPDX-License-Identifier: MIT OR Apache-2.0
//! The handle by which other threads cancel or kill a run.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::commands::ToInit;
use unsandbox_protocol::CancelReason;
use unsandbox_protocol::sync::lock;

/// How long an init may take to stop before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A handle of a run for other threads.
#[derive(Debug)]
pub struct Handle {
    pub control: OwnedFd,
    cancelled: OnceLock<CancelReason>,
    killed: AtomicBool,
    /// Whether the jailer has confirmed the kill.
    confirmed: AtomicBool,
    /// Whether its caller got the end of the call already.
    is_left: AtomicBool,
    /// The time by which the init must report; after it, it is killed from outside.
    deadline: Mutex<Instant>,
}

impl Handle {
    pub fn new(control: OwnedFd, deadline: Instant) -> Handle {
        let deadline = Mutex::new(deadline);
        let no = || AtomicBool::new(false);
        Handle {
            control,
            cancelled: OnceLock::new(),
            killed: no(),
            confirmed: no(),
            is_left: no(),
            deadline,
        }
    }

    /// Stops the reports of output.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::SeqCst);
    }

    pub fn is_left(&self) -> bool {
        self.is_left.load(Ordering::SeqCst)
    }

    pub fn cancelled(&self) -> Option<CancelReason> {
        self.cancelled.get().copied()
    }

    pub fn cancel(&self, reason: CancelReason) {
        if self.cancelled.set(reason).is_ok() {
            self.stop(false);
        }
    }

    /// Asks the init to end the program. Nothing is sent to an init that is gone. One that is being killed keeps its
    /// last deadline, after which the jailer itself counts as hanging.
    pub fn stop(&self, collect: bool) {
        let mut deadline = lock(&self.deadline);
        if self.is_given_up() {
            return;
        }
        *deadline = (*deadline).min(Instant::now() + STOP_GRACE);
        // Does not block: an init that does not read is killed at the deadline.
        let _ = channel::try_send(self.control.as_fd(), &ToInit::Stop { collect }, &[]);
    }

    pub fn deadline(&self) -> Instant {
        *lock(&self.deadline)
    }

    /// Records that the init is being killed from outside; `until` is the last deadline.
    pub fn give_until(&self, until: Instant) {
        let mut deadline = lock(&self.deadline);
        *deadline = until;
        self.killed.store(true, Ordering::SeqCst);
    }

    pub fn is_given_up(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    pub fn confirm_kill(&self) {
        self.confirmed.store(true, Ordering::SeqCst);
    }

    pub fn is_kill_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_does_not_shorten_the_deadline_of_a_kill() {
        let (control, _init) = channel::pair().unwrap();
        let late = Instant::now() + Duration::from_secs(60);
        let handle = Handle::new(control, late);
        handle.give_until(late);
        handle.cancel(CancelReason::Caller);
        assert_eq!(handle.deadline(), late);
    }
}
