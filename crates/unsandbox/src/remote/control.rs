// SPDX-License-Identifier: MIT OR Apache-2.0
//! The limits of one call to a server, over all its attempts: its deadline and the caller's token.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::cancelled;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelToken, Error, ErrorCode};

#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) cancel: CancelToken,
    /// Cancelled when nobody waits any more: a running attempt may end by itself, but no other one begins.
    pub(super) abandoned: CancelToken,
    /// `None`: no deadline.
    pub(super) until: Option<Instant>,
    limit: Option<Duration>,
}

impl Control {
    pub(super) fn new(cancel: CancelToken, limit: Option<Duration>) -> Self {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        Control { cancel, abandoned: CancelToken::new(), until, limit }
    }

    /// The limits of one request of a call that makes several: its own limit, within that of the call.
    pub(super) fn within(&self, limit: Duration) -> Control {
        match self.left() {
            Some(left) if left <= limit => self.clone(),
            _ => Control {
                limit: Some(limit),
                until: Instant::now().checked_add(limit),
                ..self.clone()
            },
        }
    }

    pub(super) fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// CANCELLED or TIMEOUT, once the call has to end.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() || self.abandoned.is_cancelled() {
            return Err(cancelled(None));
        }
        if self.is_over() {
            return Err(self.timeout());
        }
        Ok(())
    }

    pub(super) fn timeout(&self) -> Error {
        let seconds = self.limit.unwrap_or_default().as_secs_f64();
        let message = format!("the call took longer than its deadline of {seconds} s");
        Error::new(ErrorCode::Timeout, message)
    }

    /// Sleeps, unless the call ends first.
    pub(super) fn sleep(&self, pause: Duration) -> Result<(), Error> {
        let woken = Arc::new((Mutex::new(false), Condvar::new()));
        let wake = |waker: Arc<(Mutex<bool>, Condvar)>| {
            move || {
                *lock(&waker.0) = true;
                waker.1.notify_all();
            }
        };
        let _cancelled = self.cancel.on_cancel(wake(woken.clone()));
        let _abandoned = self.abandoned.on_cancel(wake(woken.clone()));
        let pause = self.left().map_or(pause, |left| left.min(pause));
        let asleep = lock(&woken.0);
        let slept = woken.1.wait_timeout_while(asleep, pause, |woken| !*woken);
        drop(slept.expect("no panic under this lock"));
        self.check()
    }
}

/// A random part of a pause, from half of it to all, so that many clients do not repeat at the same time.
pub(super) fn jitter(pause: Duration) -> Duration {
    let mut byte = [128u8];
    // Without random numbers the pause is the same for all clients.
    let _ = getrandom::fill(&mut byte);
    pause.mul_f64(0.5 + f64::from(byte[0]) / 510.0)
}
