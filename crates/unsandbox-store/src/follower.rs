// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sink that follows a job: the inner backend tells it of the run, and the store of the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use unsandbox_protocol::feed::report_rest;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, Event, EventSink, Job, Offsets};

/// A sink that follows a job from a place in its output.
pub(crate) struct Follower {
    sink: Arc<dyn EventSink>,
    /// It has the output before this place.
    at: Mutex<Offsets>,
    has_started: AtomicBool,
}

impl Follower {
    pub(crate) fn new(sink: Arc<dyn EventSink>, from: Offsets) -> Follower {
        Follower { sink, at: Mutex::new(from), has_started: AtomicBool::new(false) }
    }

    pub(crate) fn at(&self) -> Offsets {
        *lock(&self.at)
    }

    fn start(&self, job: &Job) {
        if !self.has_started.swap(true, Ordering::SeqCst) {
            self.sink.event(Event::Started(job));
        }
    }
}

impl EventSink for Follower {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started(job) => self.start(job),
            Event::Output { stream, offset, bytes } => {
                let mut at = lock(&self.at);
                let Some((offset, bytes)) = at.behind(stream, offset, bytes) else { return };
                at.set(stream, offset + bytes.len() as u64);
                drop(at);
                self.sink.event(Event::Output { stream, offset, bytes });
            }
            // Its acceptance was told before, and there are no others.
            _ => {}
        }
    }

    fn is_wanted(&self) -> bool {
        self.sink.is_wanted()
    }

    fn wants_output(&self) -> bool {
        self.sink.wants_output()
    }

    /// What was missed comes from the result.
    fn finished(&self, end: Result<Job, Error>) {
        if let Ok(job) = &end {
            if job.started_at.is_some() {
                self.start(&job.as_started());
            }
            if let Some(result) = &job.result {
                let at = *lock(&self.at);
                report_rest(result, at, &*self.sink);
            }
        }
        self.sink.finished(end);
    }
}

/// A follower as the inner backend has it.
pub(crate) struct OfRun(pub Arc<Follower>);

impl EventSink for OfRun {
    fn event(&self, event: Event<'_>) {
        self.0.event(event);
    }

    fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    fn wants_output(&self) -> bool {
        self.0.wants_output()
    }

    /// Told when it is on disk.
    fn finished(&self, _end: Result<Job, Error>) {}
}
