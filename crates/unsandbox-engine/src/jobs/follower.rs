// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sink that follows a job from a place in its output: [`Backend::watch_events`](unsandbox_protocol::Backend).

use crate::jobs::tell;
use std::sync::Arc;
use unsandbox_protocol::feed::report_rest;
use unsandbox_protocol::{Error, Event, EventSink, Job, Offsets, Stream};

pub struct Follower {
    pub sink: Arc<dyn EventSink>,
    /// It has the output before this place.
    pub from: Offsets,
}

impl Follower {
    /// Reports that the run step began; false if the sink wants no more.
    pub fn started(&self, job: &Job) -> bool {
        tell::is_wanted(&*self.sink) && tell::event(&*self.sink, Event::Started(job))
    }

    /// Reports a piece of output; false if the sink wants no more.
    pub fn output(&self, stream: Stream, offset: u64, bytes: &[u8]) -> bool {
        let Some((offset, bytes)) = self.from.behind(stream, offset, bytes) else { return true };
        tell::is_wanted(&*self.sink)
            && tell::event(&*self.sink, Event::Output { stream, offset, bytes })
    }

    /// Reports everything about a job that has ended, except its acceptance.
    pub fn end(self, job: &Job, end: Result<Job, Error>) {
        let is_wanted = job.started_at.is_none() || self.started(&job.as_started());
        if let Some(result) = job.result.as_deref().filter(|_| is_wanted) {
            let report = || report_rest(result, self.from, &*self.sink);
            tell::caught("the output of its job", report);
        }
        tell::end(&*self.sink, end);
    }
}
