// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sink that a thread can wait on.

use crate::error::Error;
use crate::events::{CallContext, Event, EventSink, NoSink, cancelled, past_deadline, result_in};
use crate::result::{ExecutionResult, Job};
use crate::sync::lock;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

#[derive(Default)]
struct State {
    accepted: Option<Job>,
    end: Option<Result<Job, Error>>,
    cancelled: bool,
}

/// Waits for the events of one submission; passes each on to another sink.
pub struct Waiter {
    state: Arc<(Mutex<State>, Condvar)>,
    sink: Arc<dyn EventSink>,
    /// The sink hears of the end too.
    passes_end: bool,
}

impl Waiter {
    /// A waiter that passes nothing on.
    pub fn new() -> Self {
        Self::with_sink(Arc::new(NoSink))
    }

    /// Passes on every event to `sink`, but not the end, which the waiting thread takes.
    pub fn with_sink(sink: Arc<dyn EventSink>) -> Self {
        Waiter { state: Arc::default(), sink, passes_end: false }
    }

    /// Passes on every event and the end: for a thread that waits only until the job is accepted.
    pub fn before(sink: Arc<dyn EventSink>) -> Self {
        Waiter { passes_end: true, ..Waiter::with_sink(sink) }
    }

    /// Blocks until the end has come. It can be taken once.
    pub fn wait(&self) -> Result<Job, Error> {
        let (state, changed) = &*self.state;
        let mut state = lock(state);
        loop {
            if let Some(end) = state.end.take() {
                return end;
            }
            state = changed.wait(state).expect("no panic under this lock");
        }
    }

    /// As [`Waiter::wait`], for the result alone.
    pub fn wait_result(&self) -> Result<ExecutionResult, Error> {
        result_in(self.wait()?)
    }

    /// Blocks until the job is accepted or refused, or the context ends the waiting.
    pub fn wait_accepted(&self, context: &CallContext) -> Result<Job, Error> {
        self.wait_for(None, context, |state| {
            state.accepted.take().map(Ok).or_else(|| state.end.take())
        })
    }

    /// Blocks until the end has come, or the context ends the waiting. `job_id` is for the error.
    pub fn wait_within(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        self.wait_for(Some(job_id), context, |state| state.end.take())
    }

    fn wait_for(
        &self,
        job_id: Option<&str>,
        context: &CallContext,
        take: impl Fn(&mut State) -> Option<Result<Job, Error>>,
    ) -> Result<Job, Error> {
        let shared = self.state.clone();
        let _guard = context.cancel.on_cancel(move || {
            lock(&shared.0).cancelled = true;
            shared.1.notify_all();
        });
        let until = context.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let (state, changed) = &*self.state;
        let mut state = lock(state);
        loop {
            if let Some(answer) = take(&mut state) {
                return answer;
            }
            if state.cancelled {
                return Err(cancelled(job_id));
            }
            let Some(until) = until else {
                state = changed.wait(state).expect("no panic under this lock");
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = past_deadline(context.deadline.unwrap_or_default());
                let error = error.with_may_have_run(true);
                return Err(match job_id {
                    Some(job_id) => error.with_job_id(job_id),
                    None => error,
                });
            }
            state = changed.wait_timeout(state, left).expect("no panic under this lock").0;
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

impl EventSink for Waiter {
    fn event(&self, event: Event<'_>) {
        self.sink.event(event);
        if let Event::Accepted(job) = event {
            lock(&self.state.0).accepted = Some(job.clone());
            self.state.1.notify_all();
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        if self.passes_end {
            self.sink.finished(end.clone());
        }
        lock(&self.state.0).end = Some(end);
        self.state.1.notify_all();
    }
}
