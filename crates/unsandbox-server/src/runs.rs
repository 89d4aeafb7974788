// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions under way: the end of each is an event that wakes the request that waits for it, and a
//! request that goes away takes its run along.

use crate::idempotency::Entry;
use crate::state::State;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use unsandbox_protocol::{
    CancelToken, Error, ErrorCode, EventSink, Job, Owner, Request, Submission,
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
        if let Some(entry) = &self.entry {
            entry.ended();
        }
        if let Some((state, number)) = &self.run {
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

    fn is_empty(&self) -> bool {
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

    pub(crate) fn cancel_all(&self) {
        let tokens: Vec<CancelToken> =
            self.live.lock().expect("no panic under this lock").tokens.values().cloned().collect();
        for token in tokens {
            token.cancel();
        }
    }
}

/// A submission as the routes hand it over.
pub(crate) struct Order {
    pub owner: Owner,
    pub request: Request,
    /// An asynchronous job: listed, and not tied to its connection.
    pub listed: bool,
    /// The `Idempotency-Key` and what it stands for.
    pub key: Option<(String, Arc<Entry>)>,
}

/// A job that was taken: by this request, or by an earlier one with the same key.
pub(crate) struct Taken {
    pub job: Job,
    end: Option<oneshot::Receiver<End>>,
    attachment: Attachment,
}

/// Hands an order to the backend, once for each key.
pub(crate) fn submit(state: &Arc<State>, order: Order) -> Result<Taken, Error> {
    let Order { owner, request, listed, key } = order;
    let token = CancelToken::new();
    let mut end = None;
    let entry = key.as_ref().map(|(_, entry)| entry.clone());
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
            // Caught here, where a lock may be held and the run is on the list.
            catch_unwind(AssertUnwindSafe(|| state.backend.submit(submission, sink)))
                .unwrap_or_else(|_| Err(Error::internal("the backend met a defect of its own")))
        };
        taken.inspect_err(|_| state.runs.remove(number))
    };
    let (job, bound) = match &key {
        None => (run()?, if listed { None } else { Some(token.clone()) }),
        Some((name, entry)) => {
            let bound = if listed { None } else { Some(token.clone()) };
            entry
                .submit_once(|| run().map(|job| (job, bound)))
                .inspect_err(|_| state.idempotency.forget(&owner, name, entry))?
        }
    };
    if let (true, Some(entry)) = (listed, &entry) {
        // The caller will come back for this job by its id: it is never abandoned.
        entry.join();
    }
    let attachment = if listed {
        Attachment { token: None, entry: None, reclaim: state.reclaim }
    } else {
        if let Some(entry) = &entry {
            entry.join();
        }
        Attachment { token: bound, entry, reclaim: state.reclaim }
    };
    Ok(Taken { job, end, attachment })
}

impl Taken {
    /// Waits for the end. Dropping this future gives the run up.
    pub(crate) async fn finished(self, state: &State, owner: &Owner) -> End {
        let Taken { job, end, mut attachment } = self;
        let end = match end {
            Some(end) => end,
            None => watch_again(state, owner, &job)?,
        };
        let end = ended(end).await;
        attachment.token = None;
        end
    }
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
    /// `None` once the run has ended, and for runs that are not tied to a connection.
    token: Option<CancelToken>,
    entry: Option<Arc<Entry>>,
    reclaim: Duration,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let last = self.entry.as_ref().is_none_or(|entry| entry.leave());
        let Some(token) = self.token.take().filter(|_| last) else { return };
        match (self.entry.take(), tokio::runtime::Handle::try_current()) {
            (Some(entry), Ok(runtime)) => {
                let reclaim = self.reclaim;
                runtime.spawn(async move {
                    tokio::time::sleep(reclaim).await;
                    if entry.is_abandoned() {
                        token.cancel();
                    }
                });
            }
            _ => token.cancel(),
        }
    }
}
