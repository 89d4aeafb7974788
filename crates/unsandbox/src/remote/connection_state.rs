// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of one connection to a server, which one call at a time uses. Through it another thread can end the call,
//! every step finds the deadline, and an error can report whether the request was sent.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::mask::Masked;
use unsandbox_protocol::sync::lock;

#[derive(Default, Debug)]
pub(super) struct ConnectionState {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Bytes of the request have left this process, so the server may have acted on them.
    sent: AtomicBool,
    /// The next output is the head of a request that has a body.
    body_follows: AtomicBool,
    /// The reply's head has been received, and its body is being read.
    in_body: AtomicBool,
}

#[derive(Default, Debug)]
struct Inner {
    interrupted: bool,
    until: Option<Instant>,
    /// Headers whose values have not been sent yet.
    masked: Vec<Masked>,
}

impl ConnectionState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Begins a call with the deadline `until`. Its request contains placeholders for these headers, and perhaps a
    /// body.
    pub(super) fn begin(&self, until: Option<Instant>, masked: Vec<Masked>, has_body: bool) {
        let mut inner = self.lock();
        (inner.until, inner.masked) = (until, masked);
        self.body_follows.store(has_body, Ordering::SeqCst);
        self.sent.store(false, Ordering::SeqCst);
        self.in_body.store(false, Ordering::SeqCst);
    }

    /// Whether the current output is a head whose body follows; true once.
    pub(super) fn take_body_follows(&self) -> bool {
        self.body_follows.swap(false, Ordering::SeqCst)
    }

    /// Takes the headers whose values still have to be put into the request.
    pub(super) fn take_masked(&self) -> Vec<Masked> {
        std::mem::take(&mut self.lock().masked)
    }

    /// Puts back the headers that were not in the last bytes.
    pub(super) fn put_masked(&self, masked: Vec<Masked>) {
        self.lock().masked = masked;
    }

    /// Records that the reply's body is read from now on.
    pub(super) fn begin_body(&self) {
        self.in_body.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_in_body(&self) -> bool {
        self.in_body.load(Ordering::SeqCst)
    }

    /// Ends a running lookup or connect, from any thread; the connection is not used again. Sockets are registered with
    /// the HTTP client, which shuts them down.
    pub(super) fn interrupt(&self) {
        self.lock().interrupted = true;
        self.changed.notify_all();
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    pub(super) fn mark_sent(&self) {
        self.sent.store(true, Ordering::SeqCst);
    }

    pub(super) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }

    /// The time left for a step with its own `limit`; an error once there is none.
    pub(super) fn left(&self, limit: Option<Duration>) -> io::Result<Option<Duration>> {
        let inner = self.lock();
        if inner.interrupted {
            return Err(interrupted());
        }
        let left = inner.until.map(|until| until.saturating_duration_since(Instant::now()));
        match (left, limit) {
            (Some(left), _) if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            (Some(left), Some(limit)) => Ok(Some(left.min(limit))),
            (left, limit) => Ok(left.or(limit)),
        }
    }

    /// Runs a step that cannot be interrupted (a name lookup, a connect) on its own thread, and stops waiting for it at
    /// the time limit or an interrupt.
    pub(super) fn run_detached<T: Send + 'static>(
        self: &Arc<Self>,
        limit: Duration,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let until = Instant::now() + self.left(Some(limit))?.unwrap_or(limit);
        let place = Arc::new(Mutex::new(None));
        let (state, result) = (self.clone(), place.clone());
        std::thread::Builder::new().name("unsandbox-connect".to_string()).spawn(move || {
            let outcome = step();
            *lock(&result) = Some(outcome);
            // Under the state's lock, so that the waiter cannot miss it between its check and its wait.
            drop(state.lock());
            state.changed.notify_all();
        })?;
        let mut inner = self.lock();
        loop {
            if let Some(outcome) = lock(&place).take() {
                return Ok(outcome);
            }
            let left = until.saturating_duration_since(Instant::now());
            if inner.interrupted {
                return Err(interrupted());
            }
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            inner = self.changed.wait_timeout(inner, left).expect("no panic under this lock").0;
        }
    }
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the call was interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_step_that_hangs_is_abandoned_at_its_limit() {
        let (hold, gate) = mpsc::channel::<()>();
        let state = Arc::new(ConnectionState::default());
        let stuck = state.run_detached(Duration::from_millis(20), move || gate.recv());
        assert_eq!(stuck.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(hold);
        assert_eq!(state.run_detached(Duration::from_secs(60), || 7).unwrap(), 7);
        let (_hold, gate) = mpsc::channel::<()>();
        let (ready, started) = mpsc::channel();
        let waiter = state.clone();
        let thread = std::thread::spawn(move || {
            waiter.run_detached(Duration::from_secs(60), move || {
                ready.send(()).unwrap();
                gate.recv()
            })
        });
        started.recv().unwrap();
        state.interrupt();
        assert_eq!(thread.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert!(state.left(None).is_err() && state.is_interrupted());
    }
}
