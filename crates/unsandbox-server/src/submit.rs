// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions. The backend gets each key once, and a synchronous run is cancelled when its client leaves.

use crate::access_log::Noted;
use crate::budget::Reservation;
use crate::idempotency::{Claim, Keyed};
use crate::observe::submission::{Facts, Followed};
use crate::party::Party;
use crate::reply;
use crate::runs::{Completion, End, Submitted, cancelled, ended};
use crate::state::State;
use crate::workers::Permit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use unsandbox_protocol::backend::{self, IdempotencyKey, stopping};
use unsandbox_protocol::{
    CallContext, CancelReason, CancelToken, Error, ErrorCode, EventSink, Job, Owner, Submission,
    ValidRequest,
};

/// A submission from the routes.
pub(crate) struct Order {
    pub owner: Owner,
    pub party: Party,
    pub request: ValidRequest<'static>,
    /// The memory of the request, released when the backend has taken it.
    pub memory: Arc<Reservation>,
    /// Whether it is an asynchronous job, which is listed and not tied to its connection.
    pub listed: bool,
    /// Whether its client reads its events.
    pub is_live: bool,
    pub keyed: Option<Keyed>,
    /// Its key for a backend that remembers keys.
    pub stored_key: Option<IdempotencyKey>,
    /// What its line of the request log has.
    pub noted: Noted,
    /// For the metrics and the audit file.
    pub facts: Facts,
}

/// A job that was accepted: for this request, or for an earlier one with the same key.
pub(crate) struct Accepted {
    pub job: Job,
    /// `None` where the job is that of an earlier submission.
    end: Option<RunEnd>,
    attachment: Attachment,
}

/// The end of a run.
pub(crate) enum RunEnd {
    Awaited(oneshot::Receiver<End>),
    Known(End),
}

/// Hands a submission to the backend, once for each key, and waits until it is accepted.
///
/// The key is claimed here and not earlier: a key that is claimed and never submitted would be kept for ever.
pub(crate) async fn submit(state: &Arc<State>, order: Order) -> Result<Accepted, Error> {
    let Order { owner, party, request, memory, listed, is_live, keyed, stored_key, noted, facts } =
        order;
    let claim = keyed.map(|keyed| state.idempotency.claim(&owner, keyed)).transpose()?;
    let entry = claim.as_ref().map(|claim| claim.entry().clone());
    let token = CancelToken::new();
    let is_first = entry.as_ref().is_none_or(|entry| entry.begin(token.clone()));
    let acceptance = entry.as_ref().map_or_else(Arc::default, |entry| entry.acceptance().clone());
    let mut attachment = Attachment { state: state.clone(), token: None, claim: None };
    if listed {
        if let Some(claim) = claim {
            claim.stay();
        }
    } else {
        let shared = entry.as_ref().and_then(|entry| entry.token().cloned());
        attachment.token = Some(shared.unwrap_or_else(|| token.clone()));
        attachment.claim = claim;
    }
    let end = is_first.then(|| {
        let webhook = request.callback_url.as_ref().and(state.webhooks.as_ref());
        let webhook = webhook.map(|webhooks| webhooks.wake());
        let (submitter, context) = (owner.clone(), CallContext::of(owner));
        let submission = Submission {
            listed,
            cancel: token,
            context,
            idempotency: stored_key,
            ..Submission::new(request)
        };
        let is_stored = listed && state.stores_jobs;
        // Reports to the list of runs, to the key and to the receiver.
        let (sink, end) = Completion::new(Some(Submitted {
            // One that outlives this process is not in the list.
            run: (!is_stored).then(|| state.runs.enter(submission.cancel.clone())),
            keys: state.idempotency.clone(),
            entry,
            acceptance: acceptance.clone(),
            noted: noted.clone(),
            memory: Mutex::new(Some(memory)),
            is_live,
            webhook,
            followed: Followed::new(state.observer.clone(), submitter, facts, noted.clone()),
        }));
        hand_over(state, party, submission, sink);
        end
    });
    let end = match end {
        // The end tells the acceptance too: a reply that needs nothing before it is woken once.
        Some(end) if !listed && !is_live => Some(RunEnd::Known(ended(end).await)),
        end => end.map(RunEnd::Awaited),
    };
    let job = acceptance.wait().await.inspect_err(|_| attachment.token = None)?;
    noted.job(&job.job_id);
    Ok(Accepted { job, end, attachment })
}

/// Hands a submission to the backend, on a worker thread: a backend may prepare the run before it returns.
fn hand_over(
    state: &Arc<State>,
    party: Party,
    submission: Submission<'static>,
    sink: Arc<Completion>,
) {
    // Checked after the run is in the list: a stop either finds the run there or is seen here.
    if state.is_stopping() {
        return sink.finished(Err(stopping()));
    }
    match state.workers.submission_now(&party) {
        Some(permit) => give(state.clone(), submission, sink, permit),
        // A task of its own: a key that is claimed has to get an answer, also after its client has left.
        None => drop(tokio::spawn(give_in_turn(state.clone(), party, submission, sink))),
    }
}

/// A submission that is cancelled while it waits for its thread is not handed over.
async fn give_in_turn(
    state: Arc<State>,
    party: Party,
    submission: Submission<'static>,
    sink: Arc<Completion>,
) {
    let cancel = submission.cancel.clone();
    let permit = tokio::select! {
        biased;
        () = cancelled(&cancel) => {
            let stops = state.is_stopping();
            let error = if stops { stopping() } else { backend::cancelled(None) };
            return sink.finished(Err(error));
        }
        permit = state.workers.submission(party) => permit,
    };
    give(state, submission, sink, permit);
}

fn give(state: Arc<State>, submission: Submission<'static>, sink: Arc<Completion>, permit: Permit) {
    drop(tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let events: Arc<dyn EventSink> = sink.clone();
        // Caught here, while the run is in the list. Whether the program ran is unknown.
        let submitted = catch_unwind(AssertUnwindSafe(|| state.backend.submit(submission, events)));
        if submitted.is_err() {
            sink.finished(Err(reply::bug().with_may_have_run(true)));
        }
    }));
}

impl RunEnd {
    /// Waits for the end from a [`Completion`].
    pub(crate) async fn wait(self) -> End {
        match self {
            RunEnd::Awaited(end) => ended(end).await,
            RunEnd::Known(end) => end,
        }
    }
}

impl Accepted {
    /// An earlier submission with the same key was the first.
    pub(crate) fn is_repeated(&self) -> bool {
        self.end.is_none()
    }

    /// The job, the end if this request submitted it, and what abandons the run when it is dropped.
    pub(crate) fn into_parts(self) -> (Job, Option<RunEnd>, Attachment) {
        (self.job, self.end, self.attachment)
    }

    /// Waits for the end. Dropping this future abandons the run.
    pub(crate) async fn finished(self, state: &State, party: Party, owner: &Owner) -> End {
        let Accepted { job, end, mut attachment } = self;
        let end = match end {
            Some(end) => end.wait().await.map_err(|error| about(error, &job.job_id)),
            None => {
                let end = ended(watch_again(state, owner, &job)?).await;
                job_of_end(state, party, owner, &job.job_id, end).await
            }
        };
        attachment.token = None;
        end
    }
}

/// Adds the job's id to an error, so that the caller can still fetch the job.
pub(crate) fn about(error: Error, job_id: &str) -> Error {
    match error.job_id() {
        None if !job_id.is_empty() => error.with_job_id(job_id),
        _ => error,
    }
}

/// The end of a job for requests that did not submit it. A run that failed inside the service is an error for the
/// request that submitted it; for all others it is a job with that status.
pub(crate) async fn job_of_end(
    state: &State,
    party: Party,
    owner: &Owner,
    job_id: &str,
    end: End,
) -> End {
    let Err(error) = end else { return end };
    match state.job(party, owner, job_id).await {
        Ok(job) if job.status.is_terminal() => Ok(job),
        _ => Err(about(error, job_id)),
    }
}

/// The error about an earlier submission with the same key whose end cannot be given.
pub(crate) fn gone(job: &Job) -> Error {
    let why = match job.job_id.as_str() {
        "" => "its job has no id".to_string(),
        id => format!("the result of its job {id} is no longer kept"),
    };
    let text = format!("this Idempotency-Key was used before, and {why}; use a new key");
    Error::new(ErrorCode::Conflict, text).with_job_id(&job.job_id)
}

/// The end of an earlier submission with the same key.
fn watch_again(state: &State, owner: &Owner, job: &Job) -> Result<oneshot::Receiver<End>, Error> {
    if job.job_id.is_empty() {
        return Err(gone(job));
    }
    let (sink, receiver) = Completion::watching();
    match state.backend.watch(&job.job_id, &CallContext::of(owner.clone()), sink) {
        Ok(()) => Ok(receiver),
        Err(error) if error.code() == ErrorCode::NotFound => Err(gone(job)),
        Err(error) => Err(error),
    }
}

/// Ties a synchronous run to the requests that wait for it.
pub(crate) struct Attachment {
    state: Arc<State>,
    /// `None` after the run has ended, and for runs that are not tied to a connection.
    token: Option<CancelToken>,
    claim: Option<Claim>,
}

impl Attachment {
    /// The run has ended, so that nothing is abandoned.
    pub(crate) fn ended(mut self) {
        self.token = None;
    }
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
        let retry_window = self.state.retry_window;
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(retry_window).await;
                give_up();
            })),
            Err(_) => give_up(),
        }
    }
}
