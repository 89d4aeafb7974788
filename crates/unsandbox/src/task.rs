// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running call. The caller may wait for it in slices (to check for signals in between), get a callback at its end (for
//! an event loop), or stop it.

use crate::thread;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelToken, Error, ErrorCode};

/// Called once when the task is done, from the library's threads, without locks held.
pub type Notify = Box<dyn FnOnce() + Send>;

enum State<T> {
    Running(Option<Notify>),
    Done(Result<T, Error>),
    Taken,
}

/// The place for the end of a task; shared with its producer.
pub(crate) struct Ending<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

impl<T> Ending<T> {
    fn new(notify: Option<Notify>) -> Arc<Self> {
        Arc::new(Ending { state: Mutex::new(State::Running(notify)), done: Condvar::new() })
    }

    /// Sets the end; only the first one counts.
    pub(crate) fn finish(&self, end: Result<T, Error>) {
        let notify = {
            let mut state = lock(&self.state);
            let State::Running(notify) = &mut *state else { return };
            let notify = notify.take();
            *state = State::Done(end);
            notify
        };
        self.done.notify_all();
        if let Some(notify) = notify {
            notify();
        }
    }
}

/// One running call. Dropping it leaves the call running; [`Task::cancel`] stops it.
pub struct Task<T> {
    ending: Arc<Ending<T>>,
    cancel: CancelToken,
}

impl<T: Send + 'static> Task<T> {
    /// Runs `call` on a thread of its own. It is given the token that [`Task::cancel`] cancels.
    ///
    /// # Errors
    ///
    /// INTERNAL if the thread cannot be made. A panic of `call` becomes INTERNAL too.
    pub fn spawn(
        cancel: CancelToken,
        notify: Option<Notify>,
        call: impl FnOnce(CancelToken) -> Result<T, Error> + Send + 'static,
    ) -> Result<Task<T>, Error> {
        let (task, body) = Task::prepare(cancel, notify, call);
        thread::start("unsandbox-call", body)?;
        Ok(task)
    }

    /// A task, and the function that makes its end, for a caller that has a thread to run the function on.
    pub fn prepare(
        cancel: CancelToken,
        notify: Option<Notify>,
        call: impl FnOnce(CancelToken) -> Result<T, Error> + Send + 'static,
    ) -> (Task<T>, impl FnOnce() + Send + 'static) {
        let (task, ending) = Task::pending(cancel.clone(), notify);
        let body = move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(cancel)));
            ending.finish(outcome.unwrap_or_else(|_| Err(Error::internal("a call panicked"))));
        };
        (task, body)
    }
}

impl<T> Task<T> {
    /// A task whose end the caller sets.
    pub(crate) fn pending(
        cancel: CancelToken,
        notify: Option<Notify>,
    ) -> (Task<T>, Arc<Ending<T>>) {
        let ending = Ending::new(notify);
        (Task { ending: ending.clone(), cancel }, ending)
    }

    /// Waits up to `timeout` (`None`: without limit) and takes the end; `None` if it has not come yet.
    ///
    /// The end can be taken once; after that it is CONFLICT.
    pub fn wait(&self, timeout: Option<Duration>) -> Option<Result<T, Error>> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.ending.state);
        loop {
            if !matches!(*state, State::Running(_)) {
                return Some(match std::mem::replace(&mut *state, State::Taken) {
                    State::Done(end) => end,
                    _ => {
                        let text =
                            "the result of this task was already returned; wait returns it once";
                        Err(Error::new(ErrorCode::Conflict, text))
                    }
                });
            }
            state = match until {
                None => self.ending.done.wait(state).expect("no panic under this lock"),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.ending.done.wait_timeout(state, left).expect("no panic under this lock").0
                }
            };
        }
    }

    /// Stops the call; its end is CANCELLED unless it has come already.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The token that [`Task::cancel`] cancels.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Whether the call has ended, its end taken already or not; never waits.
    pub fn is_done(&self) -> bool {
        !matches!(*lock(&self.ending.state), State::Running(_))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("done", &self.is_done()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_task_notifies_of_its_end_once() {
        let (sender, ends) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let notify: Notify = Box::new(move || sender.send(()).unwrap());
        let task = Task::spawn(CancelToken::new(), Some(notify), move |_| {
            gate.recv().ok();
            Ok(7)
        })
        .unwrap();
        assert!(!task.is_done());
        assert!(task.wait(Some(Duration::from_millis(1))).is_none());
        go.send(()).unwrap();
        ends.recv().unwrap();
        assert!(task.is_done());
        assert_eq!(task.wait(None).unwrap().unwrap(), 7);
        assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Conflict);
        assert!(ends.recv().is_err(), "told once");
    }

    #[test]
    fn a_panic_is_an_error_and_a_cancel_ends_the_call() {
        let task: Task<()> =
            Task::spawn(CancelToken::new(), None, |_| std::panic::resume_unwind(Box::new(1)))
                .unwrap();
        assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Internal);
        let task = Task::spawn(CancelToken::new(), None, |cancel| {
            let (tell, told) = mpsc::channel();
            let _guard = cancel.on_cancel(move || tell.send(()).unwrap());
            told.recv().unwrap();
            Err::<(), _>(Error::new(ErrorCode::Cancelled, "stopped"))
        })
        .unwrap();
        task.cancel();
        assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Cancelled);
    }
}
