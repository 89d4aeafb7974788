// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions in progress. Their acceptance and their end are events, which wake the requests that wait for them.

use crate::acceptance::Acceptance;
use crate::access_log::Noted;
use crate::budget::Reservation;
use crate::idempotency::{Entry, Table};
use crate::observe::submission::Followed;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, oneshot};
use unsandbox_protocol::backend::lost;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelReason, CancelToken, Error, Event, EventSink, Job, Status};

pub(crate) type End = Result<Job, Error>;

/// A sink that wakes one waiting request.
pub(crate) struct Completion {
    sender: Mutex<Option<oneshot::Sender<End>>>,
    /// For submissions of this server.
    submitted: Option<Submitted>,
}

/// The parts of the server that are updated when a submission is accepted or ends.
pub(crate) struct Submitted {
    /// Its place in the list of runs; `None` for one that outlives this process.
    pub run: Option<Entered>,
    pub keys: Arc<Table>,
    /// The entry of its `Idempotency-Key`.
    pub entry: Option<Arc<Entry>>,
    pub acceptance: Arc<Acceptance>,
    pub noted: Noted,
    /// The memory of the request, until the backend has taken it.
    pub memory: Mutex<Option<Arc<Reservation>>>,
    /// Its client reads its events, for which its id has to be known before its end.
    pub is_live: bool,
    /// Told that its webhook is due.
    pub webhook: Option<Arc<Notify>>,
    pub followed: Followed,
}

impl Completion {
    /// For the end of a job that another request has submitted.
    pub(crate) fn watching() -> (Arc<Completion>, oneshot::Receiver<End>) {
        Self::new(None)
    }

    pub(crate) fn new(submitted: Option<Submitted>) -> (Arc<Completion>, oneshot::Receiver<End>) {
        let (sender, receiver) = oneshot::channel();
        (Arc::new(Completion { sender: Mutex::new(Some(sender)), submitted }), receiver)
    }

    /// Only the first end counts.
    fn close(&self, end: impl FnOnce() -> End) {
        let sender = lock(&self.sender).take();
        let Some(sender) = sender else { return };
        let end = end();
        if let Some(submitted) = &self.submitted {
            submitted.close(&end);
        }
        // The receiver may be dropped already.
        let _ = sender.send(end);
    }
}

impl Submitted {
    fn close(&self, end: &End) {
        drop(lock(&self.memory).take());
        self.followed.ended(end);
        if let Some(entry) = &self.entry {
            self.keys.ended(entry);
        }
        if !self.acceptance.is_set() {
            self.answer(end);
        }
        if let Some(webhook) = &self.webhook {
            webhook.notify_one();
        }
        if let Some(run) = &self.run {
            run.leave();
        }
    }

    /// Answers the submission with its end: there was no acceptance before it.
    fn answer(&self, end: &End) {
        let refusal = end.as_ref().err();
        // A submission that may have run keeps its key: a retry gets the same answer and runs nothing.
        if let Some(entry) = &self.entry
            && refusal.is_some_and(|error| !error.may_have_run())
        {
            self.keys.release_key(entry);
        }
        let pending = |job: &Job| Job { status: Status::Pending, result: None, ..job.clone() };
        self.acceptance.set(end.as_ref().map(pending).map_err(Error::clone));
    }
}

impl EventSink for Completion {
    fn event(&self, event: Event<'_>) {
        let Some(submitted) = &self.submitted else { return };
        submitted.followed.event(event);
        if let Event::Accepted(job) = event {
            submitted.noted.job(&job.job_id);
            submitted.acceptance.set(Ok(job.clone()));
            drop(lock(&submitted.memory).take());
        }
    }

    fn finished(&self, end: End) {
        self.close(|| end);
    }

    /// A backend elsewhere then tells the id of a run while it runs; its output is asked for by that.
    fn wants_output(&self) -> bool {
        self.submitted.as_ref().is_some_and(|submitted| submitted.is_live)
    }

    /// A request that has gone does not wait any more.
    fn is_wanted(&self) -> bool {
        let sender = lock(&self.sender);
        self.submitted.is_some() || sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let is_open = lock(&self.sender).is_some();
        if let Some(submitted) = self.submitted.as_ref().filter(|it| is_open && it.run.is_none()) {
            submitted.followed.handed_on();
        }
        self.close(|| Err(lost(None)));
    }
}

/// Waits for the end from a [`Completion`], which reports one at the latest when it is dropped.
pub(crate) async fn ended(receiver: oneshot::Receiver<End>) -> End {
    receiver.await.unwrap_or_else(|_| Err(Error::internal("a completion reported no end")))
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

/// A run in the list.
pub(crate) struct Entered {
    runs: Arc<Runs>,
    number: u64,
}

impl Entered {
    fn leave(&self) {
        self.runs.remove(self.number);
    }
}

impl Runs {
    /// Enters a run that `token` cancels.
    pub(crate) fn enter(self: &Arc<Self>, token: CancelToken) -> Entered {
        Entered { runs: self.clone(), number: self.add(token) }
    }

    fn add(&self, token: CancelToken) -> u64 {
        let mut live = lock(&self.live);
        live.next += 1;
        let number = live.next;
        live.tokens.insert(number, token);
        number
    }

    fn remove(&self, number: u64) {
        let mut live = lock(&self.live);
        live.tokens.remove(&number);
        if live.tokens.is_empty() {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.live).tokens.is_empty()
    }

    /// Resolves when nothing runs.
    pub(crate) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // Registered before the check, so that no end between the two is missed.
            idle.as_mut().enable();
            if self.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// Cancels all runs, at the end of the server.
    pub(crate) fn cancel_all(&self) {
        let tokens: Vec<CancelToken> = lock(&self.live).tokens.values().cloned().collect();
        for token in tokens {
            token.cancel_for(CancelReason::Stop);
        }
    }
}

/// Resolves when the token is cancelled.
pub(crate) async fn cancelled(token: &CancelToken) {
    let (sender, receiver) = oneshot::channel();
    let _guard = token.on_cancel(move || {
        let _ = sender.send(());
    });
    // The sender lives in the token, and the token is borrowed here.
    let _ = receiver.await;
}
