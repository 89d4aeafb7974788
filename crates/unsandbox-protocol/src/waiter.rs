// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sink that a thread can wait on.

use crate::cancel::CancelToken;
use crate::error::Error;
use crate::events::{
    CallContext, Event, EventSink, NoSink, cancelled, lost, past_deadline, result_in,
};
use crate::result::{ExecutionResult, Job};
use crate::sync::lock;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long after its deadline or its cancelling a backend may take to report the end of an execution itself: it has
/// the output and the job's id, which the waiting thread has not.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    accepted: Option<Job>,
    end: Option<Result<Job, Error>>,
    /// Since the acceptance.
    job_id: Option<String>,
    has_ended: bool,
    /// Of the present wait.
    cancelled: Option<Instant>,
    /// Nobody waits any more.
    is_left: bool,
}

/// Waits for the events of one submission; passes each on to another sink.
///
/// A backend is given its [`Waiter::sink`].
pub struct Waiter {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    sink: Arc<dyn EventSink>,
    /// The sink hears of the end too.
    passes_end: bool,
}

/// What bounds a wait.
struct Bounds<'a> {
    /// For the error, where it is known before the acceptance.
    job_id: Option<&'a str>,
    tokens: &'a [&'a CancelToken],
    deadline: Option<Duration>,
    grace: Duration,
    /// A program may have run, although the call was cancelled.
    may_have_run: bool,
}

impl Waiter {
    /// A waiter that passes nothing on.
    pub fn new() -> Self {
        Self::with_sink(Arc::new(NoSink))
    }

    /// Passes on every event to `sink`, but not the end, which the waiting thread takes.
    pub fn with_sink(sink: Arc<dyn EventSink>) -> Self {
        Waiter::over(sink, false)
    }

    /// Passes on every event and the end: for a thread that waits only until the job is accepted.
    pub fn before(sink: Arc<dyn EventSink>) -> Self {
        Waiter::over(sink, true)
    }

    fn over(sink: Arc<dyn EventSink>, passes_end: bool) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Waiter { shared: Arc::new(Shared { state, changed, sink, passes_end }) }
    }

    /// The sink for a backend. When it is dropped without an end, the wait ends with INTERNAL.
    pub fn sink(&self) -> Arc<dyn EventSink> {
        Arc::new(Reporter(self.shared.clone()))
    }

    /// Blocks until the end has come. It can be taken once.
    pub fn wait(&self) -> Result<Job, Error> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(end) = state.end.take() {
                return end;
            }
            state = self.shared.changed.wait(state).expect("no panic under this lock");
        }
    }

    /// As [`Waiter::wait`], for the result alone.
    pub fn wait_result(&self) -> Result<ExecutionResult, Error> {
        result_in(self.wait()?)
    }

    /// Blocks until an execution has ended, for a call whose deadline and tokens the backend keeps. One that has not
    /// reported the end a second after that is left.
    ///
    /// # Errors
    ///
    /// The end's own; TIMEOUT or CANCELLED, with `may_have_run`, from a backend that was left.
    pub fn wait_executed(&self, context: &CallContext, cancel: &CancelToken) -> Result<Job, Error> {
        let tokens = [cancel, &context.cancel];
        let deadline = context.deadline;
        let bounds =
            Bounds { job_id: None, tokens: &tokens, deadline, grace: GRACE, may_have_run: true };
        self.wait_for(&bounds, |state| state.end.take())
    }

    /// Blocks until the job is accepted or refused, or the context ends the waiting.
    pub fn wait_accepted(&self, context: &CallContext) -> Result<Job, Error> {
        self.wait_in(None, context, |state| {
            state.accepted.take().map(Ok).or_else(|| state.end.take())
        })
    }

    /// Blocks until the end has come, or the context ends the waiting. `job_id` is for the error.
    pub fn wait_within(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        self.wait_in(Some(job_id), context, |state| state.end.take())
    }

    fn wait_in(
        &self,
        job_id: Option<&str>,
        context: &CallContext,
        take: impl Fn(&mut State) -> Option<Result<Job, Error>>,
    ) -> Result<Job, Error> {
        let (tokens, deadline) = ([&context.cancel], context.deadline);
        let (grace, may_have_run) = (Duration::ZERO, false);
        self.wait_for(&Bounds { job_id, tokens: &tokens, deadline, grace, may_have_run }, take)
    }

    fn wait_for(
        &self,
        bounds: &Bounds<'_>,
        take: impl Fn(&mut State) -> Option<Result<Job, Error>>,
    ) -> Result<Job, Error> {
        let Bounds { tokens, deadline, grace, .. } = bounds;
        {
            let mut state = lock(&self.shared.state);
            (state.cancelled, state.is_left) = (None, false);
        }
        let register = |token: &&CancelToken| {
            let shared = self.shared.clone();
            token.on_cancel(move || shared.cancel())
        };
        let _guards: Vec<_> = tokens.iter().map(register).collect();
        let limit = deadline.and_then(|deadline| deadline.checked_add(*grace));
        let overdue = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(answer) = take(&mut state) {
                return answer;
            }
            let cancelled = state.cancelled.map(|since| since + *grace);
            let Some(until) = overdue.into_iter().chain(cancelled).min() else {
                state = self.shared.changed.wait(state).expect("no panic under this lock");
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.is_left = true;
                return Err(bounds.error(&state));
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.expect("no panic under this lock").0;
        }
    }
}

impl Bounds<'_> {
    /// Why the wait was given up.
    fn error(&self, state: &State) -> Error {
        let job_id = self.job_id.or(state.job_id.as_deref());
        if state.cancelled.is_some() {
            return cancelled(job_id).with_may_have_run(self.may_have_run);
        }
        let error = past_deadline(self.deadline.unwrap_or_default()).with_may_have_run(true);
        match job_id {
            Some(job_id) if !job_id.is_empty() => error.with_job_id(job_id),
            _ => error,
        }
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        lock(&self.shared.state).is_left = true;
    }
}

impl Shared {
    fn cancel(&self) {
        lock(&self.state).cancelled.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// Only the first end counts.
    fn finished(&self, end: impl FnOnce(&State) -> Result<Job, Error>) {
        let end = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.has_ended, true) {
                return;
            }
            end(&state)
        };
        let passed = self
            .passes_end
            .then(|| catch_unwind(AssertUnwindSafe(|| self.sink.finished(end.clone()))));
        lock(&self.state).end = Some(end);
        self.changed.notify_all();
        // The waiting thread has the end, whatever the sink does. A second panic of this thread would abort it.
        if let Some(Err(panic)) = passed
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// A waiter's sink as a backend has it.
struct Reporter(Arc<Shared>);

impl EventSink for Reporter {
    fn event(&self, event: Event<'_>) {
        self.0.sink.event(event);
        if let Event::Accepted(job) = event {
            let mut state = lock(&self.0.state);
            state.job_id = Some(job.job_id.clone());
            state.accepted = Some(job.clone());
            drop(state);
            self.0.changed.notify_all();
        }
    }

    /// A waiter that was left still passes on the end.
    fn is_wanted(&self) -> bool {
        let is_left = lock(&self.0.state).is_left;
        !is_left || (self.0.passes_end && self.0.sink.is_wanted())
    }

    fn wants_output(&self) -> bool {
        self.0.sink.wants_output()
    }

    fn finished(&self, end: Result<Job, Error>) {
        self.0.finished(|_| end);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.0.finished(|state| Err(lost(state.job_id.as_deref())));
    }
}
