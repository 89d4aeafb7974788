// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions under way: the end of each is an event that wakes the request that waits for it, and a
//! request that goes away takes its run along.

use crate::idempotency::{Claim, Entry, Keyed};
use crate::state::State;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};
use unsandbox_protocol::{
    CancelReason, CancelToken, Error, ErrorCode, EventSink, Job, Owner, Request, Submission,
};

pub(crate) type End = Result<Job, Error>;

/// A sink that wakes one waiting request.
pub(crate) struct Completion {
    sender: Mutex<Option<oneshot::Sender<End>>>,
    /// For submissions of ours: what else has to know of the end.
    run: Option<(Arc<State>, u64)>,
    entry: Option<Arc<Entry>>,
}

impl Completion {
    /// For the end of a job that is somebody else's submission.
    pub(crate) fn watching() -> (Arc<Completion>, oneshot::Receiver<End>) {
        Self::new(None, None)
    }

    fn new(
        run: Option<(Arc<State>, u64)>,
        entry: Option<Arc<Entry>>,
    ) -> (Arc<Completion>, oneshot::Receiver<End>) {
        let (sender, receiver) = oneshot::channel();
        (Arc::new(Completion { sender: Mutex::new(Some(sender)), run, entry }), receiver)
    }
}

impl EventSink for Completion {
    fn finished(&self, end: End) {
        self.close(|| end);
    }

    /// A request that has gone does not wait any more.
    fn is_wanted(&self) -> bool {
        let sender = self.sender.lock().expect("no panic under this lock");
        self.run.is_some() || sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

/// A backend that drops its sink has lost the run: nobody may wait for it any longer.
impl Drop for Completion {
    fn drop(&mut self) {
        self.close(|| Err(Error::internal("the backend lost a run without saying so")));
    }
}

impl Completion {
    /// Only the first end counts.
    fn close(&self, end: impl FnOnce() -> End) {
        let sender = self.sender.lock().expect("no panic under this lock").take();
        let Some(sender) = sender else { return };
        if let Some((state, number)) = &self.run {
            if let Some(entry) = &self.entry {
                state.idempotency.ended(entry);
            }
            state.runs.remove(*number);
        }
        // Nobody may be left to hear it.
        let _ = sender.send(end());
    }
}

/// Every run of this server that has not ended, so that a stop can wait for it or cancel it.
#[derive(Default)]
pub(crate) struct Runs {
    live: Mutex<Live>,
    idle: Notify,
}

#[derive(Default)]
struct Live {
    next: u64,
    tokens: HashMap<u64, CancelToken>,
}

impl Runs {
    fn add(&self, token: CancelToken) -> u64 {
        let mut live = self.live.lock().expect("no panic under this lock");
        live.next += 1;
        let number = live.next;
        live.tokens.insert(number, token);
        number
    }

    fn remove(&self, number: u64) {
        let mut live = self.live.lock().expect("no panic under this lock");
        live.tokens.remove(&number);
        if live.tokens.is_empty() {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.lock().expect("no panic under this lock").tokens.is_empty()
    }

    /// Comes when nothing runs.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // Registered before the look, so that no end between the two is missed.
            idle.as_mut().enable();
            if self.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// At the end of the server.
    pub(crate) fn cancel_all(&self) {
        let tokens: Vec<CancelToken> =
            self.live.lock().expect("no panic under this lock").tokens.values().cloned().collect();
        for token in tokens {
            token.cancel_for(CancelReason::Stop);
        }
    }
}

/// A submission as the routes hand it over.
pub(crate) struct Order {
    pub owner: Owner,
    pub request: Request,
    /// An asynchronous job: listed, and not tied to its connection.
    pub listed: bool,
    pub keyed: Option<Keyed>,
}

/// A job that was taken: by this request, or by an earlier one with the same key.
pub(crate) struct Taken {
    pub job: Job,
    end: Option<oneshot::Receiver<End>>,
    attachment: Attachment,
}

/// Hands an order to the backend, once for each key.
///
/// The key is claimed here and no earlier: a key that is claimed and then not submitted would be kept for ever.
pub(crate) fn submit(state: &Arc<State>, order: Order) -> Result<Taken, Error> {
    let Order { owner, request, listed, keyed } = order;
    let claim = keyed.map(|keyed| state.idempotency.claim(&owner, keyed)).transpose()?;
    let token = CancelToken::new();
    let mut end = None;
    let entry = claim.as_ref().map(|claim| claim.entry().clone());
    let run = || {
        let number = state.runs.add(token.clone());
        // Looked at after the run is on the list: a stop either sees the run or is seen here.
        let taken = if state.is_stopping() {
            Err(crate::reply::stopping())
        } else {
            let (sink, receiver) = Completion::new(Some((state.clone(), number)), entry.clone());
            end = Some(receiver);
            let submission = Submission {
                owner: owner.clone(),
                listed,
                cancel: token.clone(),
                ..Submission::new(request)
            };
            // Caught here, where a lock may be held and the run is on the list. How far it came nobody knows.
            catch_unwind(AssertUnwindSafe(|| state.backend.submit(submission, sink)))
                .unwrap_or_else(|_| {
                    let defect = Error::internal("the backend met a defect of its own");
                    Err(defect.with_may_have_run(true))
                })
        };
        taken.inspect_err(|_| state.runs.remove(number))
    };
    let bound = (!listed).then(|| token.clone());
    let (job, token) = match &entry {
        None => (run()?, bound),
        Some(entry) => {
            entry.submit_once(|| run().map(|job| (job, bound))).inspect_err(|error| {
                // One that may have run is told so again, and never run again.
                if !error.may_have_run() {
                    state.idempotency.forget(entry);
                }
            })?
        }
    };
    if !listed {
        return Ok(Taken {
            job,
            end,
            attachment: Attachment { state: state.clone(), token, claim },
        });
    }
    if let Some(claim) = claim {
        claim.stay();
    }
    Ok(Taken {
        job,
        end,
        attachment: Attachment { state: state.clone(), token: None, claim: None },
    })
}

impl Taken {
    /// An earlier submission with the same key was the first.
    pub(crate) fn is_repeated(&self) -> bool {
        self.end.is_none()
    }

    /// Waits for the end. Dropping this future gives the run up.
    pub(crate) async fn finished(self, state: &State, owner: &Owner) -> End {
        let Taken { job, end, mut attachment } = self;
        let end = match end {
            Some(end) => ended(end).await.map_err(|error| about(error, &job.job_id)),
            None => {
                let end = ended(watch_again(state, owner, &job)?).await;
                seen(state, owner, &job.job_id, end)
            }
        };
        attachment.token = None;
        end
    }
}

/// An error that names its job: the caller can still ask for it.
fn about(error: Error, job_id: &str) -> Error {
    match error.job_id() {
        None if !job_id.is_empty() => error.with_job_id(job_id),
        _ => error,
    }
}

/// An end as everyone sees it who asks for a job that is there already: a run that failed for a reason of
/// ours is a job with that state, and an error only for the request that submitted it.
pub(crate) fn seen(state: &State, owner: &Owner, job_id: &str, end: End) -> End {
    end.or_else(|error| match state.backend.get(owner, job_id) {
        Ok(job) if job.status.is_terminal() => Ok(job),
        _ => Err(about(error, job_id)),
    })
}

/// Waits for an end that a [`Completion`] reports; it always does, at the latest when it is dropped.
pub(crate) async fn ended(receiver: oneshot::Receiver<End>) -> End {
    receiver.await.unwrap_or_else(|_| Err(Error::internal("a completion reported no end")))
}

/// The end of an earlier submission with the same key.
fn watch_again(state: &State, owner: &Owner, job: &Job) -> Result<oneshot::Receiver<End>, Error> {
    let gone = |why: &str| {
        Error::new(
            ErrorCode::Conflict,
            format!("a request with this Idempotency-Key was taken before, and {why}"),
        )
        .with_job_id(&job.job_id)
    };
    if job.job_id.is_empty() {
        return Err(gone("its job cannot be asked for by an id"));
    }
    let (sink, receiver) = Completion::watching();
    match state.backend.watch(owner, &job.job_id, sink) {
        Ok(()) => Ok(receiver),
        Err(error) if error.code() == ErrorCode::NotFound => {
            Err(gone(&format!("the result of its job {} is no longer kept", job.job_id)))
        }
        Err(error) => Err(error),
    }
}

/// Ties a synchronous run to the requests that wait for it.
struct Attachment {
    state: Arc<State>,
    /// `None` once the run has ended, and for runs that are not tied to a connection.
    token: Option<CancelToken>,
    claim: Option<Claim>,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(token) = self.token.take() else { return };
        let Some(claim) = self.claim.take() else { return token.cancel_for(CancelReason::Left) };
        let (state, entry) = (self.state.clone(), claim.entry().clone());
        drop(claim);
        let give_up = move || {
            if state.idempotency.is_abandoned(&entry) {
                token.cancel_for(CancelReason::Left);
            }
        };
        let reclaim = self.state.reclaim;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(reclaim).await;
                give_up();
            })),
            Err(_) => give_up(),
        }
    }
}
