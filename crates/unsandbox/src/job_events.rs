// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of one job, for a caller that takes them when it likes. Output that it does not take waits in a bounded
//! buffer; beyond that the backend is asked for it again.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::{cancelled, past_deadline};
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::feed::{Feed, Next};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Backend, CallContext, CancelToken, Error, EventSink, JobEvent, Offsets};

/// The events of a job: what [`Client::job_events`](crate::Client::job_events) gives.
///
/// An iterator that waits for the next event. The last one is [`JobEvent::Finished`], or an error. Dropping it leaves the
/// job as it is.
pub struct JobEvents {
    backend: Arc<dyn Backend>,
    job_id: String,
    /// Of the caller.
    context: CallContext,
    /// Ends the asking of the backend.
    stop: CancelToken,
    until: Option<Instant>,
    feed: Feed,
    signal: Arc<Signal>,
    at: Offsets,
    is_over: bool,
    _guard: CancelGuard,
}

#[derive(Default)]
struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn set(&self) {
        *lock(&self.is_set) = true;
        self.changed.notify_all();
    }

    /// Waits until it is set, and takes that back; false if the time was over first.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut is_set = lock(&self.is_set);
        while !*is_set {
            is_set = match until {
                None => self.changed.wait(is_set).expect("no panic under this lock"),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.changed.wait_timeout(is_set, left);
                    waited.expect("no panic under this lock").0
                }
            };
        }
        std::mem::take(&mut *is_set)
    }
}

impl JobEvents {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        job_id: &str,
        context: CallContext,
        from: Offsets,
    ) -> Result<JobEvents, Error> {
        let signal = Arc::new(Signal::default());
        let (changed, stopped) = (signal.clone(), signal.clone());
        let feed = Feed::new(from, move || changed.set());
        let events = JobEvents {
            backend,
            job_id: job_id.to_string(),
            until: context.deadline.and_then(|limit| Instant::now().checked_add(limit)),
            feed,
            signal,
            at: from,
            is_over: false,
            _guard: context.cancel.on_cancel(move || stopped.set()),
            context,
            stop: CancelToken::new(),
        };
        events.watch(events.feed.sink())?;
        Ok(events)
    }

    fn watch(&self, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        let cancel = self.stop.clone();
        let context = CallContext { cancel, deadline: None, ..self.context.clone() };
        self.backend.watch_events(&self.job_id, &context, self.at, sink)
    }

    /// The place behind the output that was taken, from which [`Client::job_events`](crate::Client::job_events) goes on.
    pub fn offsets(&self) -> Offsets {
        self.at
    }

    /// Waits for the next event, but no longer than `timeout`; pending if there is none by then, `None` after the last.
    pub fn next_within(&mut self, timeout: Duration) -> Poll<Option<Result<JobEvent, Error>>> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, until: Option<Instant>) -> Poll<Option<Result<JobEvent, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(event) = self.take().transpose() {
                self.is_over = matches!(event, Ok(JobEvent::Finished(_)) | Err(_));
                return Poll::Ready(Some(event));
            }
            let first = until.into_iter().chain(self.until).min();
            if !self.signal.wait(first) && self.until.is_none_or(|end| Instant::now() < end) {
                return Poll::Pending;
            }
        }
    }

    /// The next event, if there is one now.
    fn take(&mut self) -> Result<Option<JobEvent>, Error> {
        loop {
            let event = match self.feed.take() {
                Next::Event(event) => event,
                Next::End(end) => return end.map(|job| Some(JobEvent::Finished(job))),
                Next::Behind => {
                    let sink = self.feed.again(self.at);
                    self.watch(sink)?;
                    continue;
                }
                Next::Nothing if self.context.cancel.is_cancelled() => {
                    return Err(cancelled(Some(&self.job_id)));
                }
                Next::Nothing if self.until.is_some_and(|end| Instant::now() >= end) => {
                    let limit = self.context.deadline.unwrap_or_default();
                    return Err(past_deadline(limit).with_job_id(&self.job_id));
                }
                Next::Nothing => return Ok(None),
            };
            match &event {
                JobEvent::Output { stream, offset, bytes } => {
                    self.at.set(*stream, offset + bytes.len() as u64);
                }
                JobEvent::Gap { stream, offset, len } => self.at.set(*stream, offset + len),
                _ => {}
            }
            return Ok(Some(event));
        }
    }
}

impl Drop for JobEvents {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Iterator for JobEvents {
    type Item = Result<JobEvent, Error>;

    fn next(&mut self) -> Option<Result<JobEvent, Error>> {
        loop {
            if let Poll::Ready(event) = self.next_until(None) {
                return event;
            }
        }
    }
}

impl fmt::Debug for JobEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobEvents")
            .field("job_id", &self.job_id)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
