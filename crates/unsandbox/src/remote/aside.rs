// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes on when a caller gives up: a job whose submission is still under way gets its cancel once
//! its id is known. The caller is not kept for it.

use super::Remote;
use super::control::Control;
use super::exchange::Answer;
use super::submit::EncodedRequest;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::time::Duration;
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::{CancelToken, Error, wire};

/// How long a caller who cancelled waits for the server to hear of it; after that it goes on alone.
const CANCEL_GRACE: Duration = Duration::from_millis(60);
/// How long that may take then.
const CANCEL_TIME: Duration = Duration::from_secs(10);

/// The answer to a submission, on its way from the thread that sent it.
#[derive(Default)]
enum Place {
    #[default]
    Awaited,
    /// The caller is gone; the thread that has the answer cancels the job.
    Deserted,
    Here(Result<Answer, Error>),
    /// Taken, or the deserted job was dealt with.
    Settled,
}

#[derive(Default)]
struct Shared {
    place: Mutex<Place>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().expect("no panic under this lock")
    }

    fn wake(&self) {
        // Under the lock, so that no waiter misses it between its look and its wait.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits until the deserted job was dealt with; whether it was in time.
    fn settled_within(&self, limit: Duration) -> bool {
        let unsettled = |place: &mut Place| matches!(place, Place::Deserted);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, unsettled);
        !matches!(*waited.expect("no panic under this lock").0, Place::Deserted)
    }
}

impl Remote {
    /// Submits a job on a thread of its own. A caller who gives up is free at once, and the job is
    /// cancelled as soon as the server has told its id.
    pub(super) fn submit_aside(
        &self,
        encoded: EncodedRequest,
        control: &Control,
    ) -> Result<Answer, Error> {
        control.check()?;
        let shared = Arc::new(Shared::default());
        let theirs =
            Control::new(CancelToken::new(), control.left().map(|left| left + CANCEL_TIME));
        let (remote, place, way) = (self.clone(), shared.clone(), theirs.clone());
        std::thread::Builder::new()
            .name("unsandbox-submit".to_string())
            .spawn(move || remote.deliver(&encoded, &way, &place))
            .map_err(|cause| {
                Error::internal("could not start a thread for this call").with_cause(cause)
            })?;
        let waker = shared.clone();
        let _guard = control.cancel.on_cancel(move || waker.wake());
        let mut place = shared.lock();
        loop {
            if matches!(*place, Place::Here(_)) {
                let Place::Here(answer) = std::mem::replace(&mut *place, Place::Settled) else {
                    unreachable!("it was just seen");
                };
                return answer;
            }
            if let Err(error) = control.check() {
                *place = Place::Deserted;
                drop(place);
                leave(&shared, theirs);
                return Err(error.with_may_have_run(true));
            }
            let left = control.left().unwrap_or(CANCEL_TIME);
            place = shared.changed.wait_timeout(place, left).expect("no panic under this lock").0;
        }
    }

    fn deliver(&self, encoded: &EncodedRequest, control: &Control, shared: &Shared) {
        let answer = self.submit_encoded(encoded, control);
        let mut place = shared.lock();
        if matches!(*place, Place::Awaited) {
            *place = Place::Here(answer);
        } else {
            drop(place);
            self.undo(answer);
            place = shared.lock();
            *place = Place::Settled;
        }
        drop(place);
        shared.changed.notify_all();
    }

    /// Cancels a job that nobody waits for.
    fn undo(&self, answer: Result<Answer, Error>) {
        let job = answer.and_then(|answer| wire::decode_submission(&answer.body, answer.status));
        match job {
            Ok(job) if job.status.is_terminal() => {}
            Ok(job) => self.cancel_quietly(&job.job_id),
            Err(error) => log::warn!("the cancelled submission got no job id: {error}"),
        }
    }

    fn cancel_quietly(&self, job_id: &str) {
        let control = Control::new(CancelToken::new(), Some(CANCEL_TIME));
        if let Err(error) = self.cancel_within(job_id, &control) {
            log::warn!("job {} may still run: {error}", printable(job_id));
        }
    }

    /// Tells the server to cancel, without keeping the caller.
    pub(super) fn cancel_aside(&self, job_id: &str) {
        let (remote, job_id) = (self.clone(), job_id.to_string());
        let (tell, told) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("unsandbox-cancel".to_string());
        let spawned = thread.spawn(move || {
            remote.cancel_quietly(&job_id);
            drop(tell);
        });
        if spawned.is_ok() {
            // Ends when the other end is dropped, or after the grace.
            let _ = told.recv_timeout(CANCEL_GRACE);
        }
    }
}

/// Gives a deserted submission a moment, and then a limit.
fn leave(shared: &Arc<Shared>, theirs: Control) {
    // A submission that was refused for now is not repeated only to be cancelled.
    theirs.deserted.cancel();
    if shared.settled_within(CANCEL_GRACE) {
        return;
    }
    let shared = shared.clone();
    let watch = move || {
        if !shared.settled_within(CANCEL_TIME) {
            theirs.cancel.cancel();
        }
    };
    // Without it the submission ends by its own deadline.
    let _ = std::thread::Builder::new().name("unsandbox-cancel".to_string()).spawn(watch);
}
