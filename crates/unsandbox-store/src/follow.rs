// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of a job as they happen. The inner backend tells of the run; the end comes from here, once it is on disk.

use crate::follower::{Follower, OfRun};
use crate::live::Stage;
use crate::shared::Shared;
use std::sync::Arc;
use unsandbox_protocol::feed::report_past;
use unsandbox_protocol::{CallContext, Error, Event, EventSink, Offsets};

impl Shared {
    pub(crate) fn watch_events(
        self: &Arc<Self>,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let job = self.get_job(job_id, context)?;
        if job.status.is_terminal() {
            report_past(job, from, &*sink);
            return Ok(());
        }
        sink.event(Event::Accepted(&job.as_accepted()));
        let follower = Arc::new(Follower::new(sink, from));
        self.watch(job_id, context, follower.clone())?;
        let mut live = self.live();
        let Some(active) = live.active.get_mut(job_id) else { return Ok(()) };
        match active.stage {
            Stage::Dispatched if active.is_at_inner => {
                drop(live);
                self.follow_run(job_id, context, follower);
            }
            Stage::Ending(_) => {}
            _ => active.followers.push(follower),
        }
        Ok(())
    }

    /// The inner backend has a job: its followers get the events of the run.
    pub(crate) fn is_at_inner(&self, job_id: &str) {
        let mut live = self.live();
        let Some(active) = live.active.get_mut(job_id) else { return };
        active.is_at_inner = true;
        let followers = std::mem::take(&mut active.followers);
        let context = CallContext::of(active.owner.clone());
        drop(live);
        for follower in followers {
            self.follow_run(job_id, &context, follower);
        }
    }

    fn follow_run(&self, job_id: &str, context: &CallContext, follower: Arc<Follower>) {
        let from = follower.at();
        // A run that has ended meanwhile is told with its end.
        let _ = self.inner.watch_events(job_id, context, from, Arc::new(OfRun(follower)));
    }
}
