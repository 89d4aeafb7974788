// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions and cancellations on their own threads. When a caller gives up during a submission, the job is cancelled
//! once its id is known, and the caller does not wait for that.

use super::Remote;
use super::control::Control;
use super::exchange::Answer;
use super::submit::EncodedRequest;
use crate::thread;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelToken, Error, wire};

/// How long a caller who cancels waits for the request to the server; after that only the thread waits.
const CANCEL_GRACE: Duration = Duration::from_millis(60);
/// The time limit of that request.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// The state of a submission, shared by the caller and the thread that sends it.
#[derive(Default)]
enum SubmissionState {
    #[default]
    Awaited,
    /// The caller has given up; the thread cancels the job once it has the answer.
    Abandoned,
    Answered(Result<Answer, Error>),
    /// The answer was taken, or the abandoned job was cancelled.
    Done,
}

#[derive(Default)]
struct Shared {
    state: Mutex<SubmissionState>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, SubmissionState> {
        lock(&self.state)
    }

    fn wake(&self) {
        // Under the lock, so that no waiter misses it between its check and its wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits until the abandoned submission is done; returns whether that was within `limit`.
    fn done_within(&self, limit: Duration) -> bool {
        let abandoned = |state: &mut SubmissionState| matches!(state, SubmissionState::Abandoned);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, abandoned);
        !matches!(*waited.expect("no panic under this lock").0, SubmissionState::Abandoned)
    }
}

impl Remote {
    /// Submits a job on its own thread. A caller who gives up returns at once, and the job is cancelled as soon as its id
    /// is known.
    pub(super) fn submit_detached(
        &self,
        encoded: EncodedRequest,
        control: &Control,
    ) -> Result<Answer, Error> {
        control.check()?;
        let shared = Arc::new(Shared::default());
        let thread_control =
            Control::new(CancelToken::new(), control.left().map(|left| left + CANCEL_TIME));
        let (remote, thread_shared, control_of_thread) =
            (self.clone(), shared.clone(), thread_control.clone());
        thread::start("unsandbox-submit", move || {
            remote.deliver(&encoded, &control_of_thread, &thread_shared);
        })?;
        let waker = shared.clone();
        let _guard = control.cancel.on_cancel(move || waker.wake());
        let mut state = shared.lock();
        loop {
            if matches!(*state, SubmissionState::Answered(_)) {
                let SubmissionState::Answered(answer) =
                    std::mem::replace(&mut *state, SubmissionState::Done)
                else {
                    unreachable!("it was just seen");
                };
                return answer;
            }
            if let Err(error) = control.check() {
                *state = SubmissionState::Abandoned;
                drop(state);
                abandon(&shared, thread_control);
                return Err(error.with_may_have_run(true));
            }
            let left = control.left().unwrap_or(CANCEL_TIME);
            state = shared.changed.wait_timeout(state, left).expect("no panic under this lock").0;
        }
    }

    fn deliver(&self, encoded: &EncodedRequest, control: &Control, shared: &Shared) {
        let answer = self.submit_encoded(encoded, control, None);
        let mut state = shared.lock();
        if matches!(*state, SubmissionState::Awaited) {
            *state = SubmissionState::Answered(answer);
        } else {
            drop(state);
            self.cancel_submitted(answer);
            state = shared.lock();
            *state = SubmissionState::Done;
        }
        drop(state);
        shared.changed.notify_all();
    }

    /// Cancels the job of an abandoned submission.
    fn cancel_submitted(&self, answer: Result<Answer, Error>) {
        let job = answer.and_then(|answer| wire::decode_submission(&answer.body, answer.status));
        match job {
            Ok(job) if job.status.is_terminal() => {}
            Ok(job) => self.cancel_and_log(&job.job_id),
            Err(error) => log::warn!("the cancelled submission got no job id: {error}"),
        }
    }

    fn cancel_and_log(&self, job_id: &str) {
        let control = Control::new(CancelToken::new(), Some(CANCEL_TIME));
        if let Err(error) = self.cancel_within(job_id, &control) {
            log::warn!("job {} may still run: {error}", printable(job_id));
        }
    }

    /// Sends a cancel to the server; the caller waits for it only a moment.
    pub(super) fn cancel_detached(&self, job_id: &str) {
        let (remote, job_id) = (self.clone(), job_id.to_string());
        let (sender, receiver) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("unsandbox-cancel".to_string());
        let spawned = thread.spawn(move || {
            remote.cancel_and_log(&job_id);
            drop(sender);
        });
        if spawned.is_ok() {
            // Returns when the thread drops its end, or after the grace.
            let _ = receiver.recv_timeout(CANCEL_GRACE);
        }
    }
}

/// Waits a moment for an abandoned submission, and then lets it run with a time limit.
fn abandon(shared: &Arc<Shared>, thread_control: Control) {
    // A refused submission must not be repeated only to be cancelled.
    thread_control.abandoned.cancel();
    if shared.done_within(CANCEL_GRACE) {
        return;
    }
    let shared = shared.clone();
    let watch = move || {
        if !shared.done_within(CANCEL_TIME) {
            thread_control.cancel.cancel();
        }
    };
    // If the thread cannot start, the submission ends by its own deadline.
    let _ = std::thread::Builder::new().name("unsandbox-cancel".to_string()).spawn(watch);
}
