// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits for jobs by their live events, where a server tells them, else by polls.

use super::control::Control;
use super::exchange::Ask;
use super::live::Live;
use super::{Remote, poll};
use std::sync::Arc;
use unsandbox_protocol::backend::cancelled;
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::wire::{self, percent_encode};
use unsandbox_protocol::{
    CallContext, Error, ErrorCode, EventSink, ExecutionResult, Job, Offsets, Owner, Status,
};

impl Remote {
    /// Whether the output for a sink is worth asking for while its program runs, and the server tells it.
    pub(super) fn is_live(&self, sink: &dyn EventSink, control: &Control) -> bool {
        // The service itself announces nothing, so that it is not asked.
        let features = || match self.inner.is_service {
            true => self.features(),
            false => self.features_asked(control),
        };
        sink.wants_output() && features().events
    }

    /// The server has named a job of this owner.
    pub(super) fn note_job(&self, owner: &Owner, job: &Job) {
        self.known_jobs().accept(&job.job_id);
        self.owners().note(owner, &job.job_id);
    }

    /// Follows a job until its end, by events; by polls where the events cannot be read.
    pub(super) fn wait_live(
        &self,
        job_id: &str,
        control: &Control,
        live: &Live<'_>,
    ) -> Result<ExecutionResult, Error> {
        let target = format!("/jobs/{}/events", percent_encode(job_id));
        let ask = Ask { live: Some(live), ..Ask::get(&target) };
        let followed = self.ask(&ask, control, &[]);
        let decoded = followed.and_then(|answer| wire::decode_job(answer.body, answer.status));
        match decoded {
            Ok(Job { result: Some(result), .. }) => {
                self.known_jobs().show(job_id);
                return Ok(Arc::unwrap_or_clone(result));
            }
            Ok(_) => {}
            Err(error) => {
                control.check().map_err(|error| error.with_job_id(job_id))?;
                if error.code() != ErrorCode::NotFound {
                    log::info!("job {} is polled: {error}", printable(job_id));
                }
            }
        }
        let end = poll::wait_while(self, job_id, control, &|| live.is_wanted())?;
        end.ok_or_else(|| cancelled(Some(job_id)))
    }

    /// Reports the events of a job to a sink that watches it, but not its end, which is returned. The context's token
    /// ends the asking.
    pub(super) fn report_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: &dyn EventSink,
    ) -> Result<ExecutionResult, Error> {
        let control = Control::new(context.cancel.clone(), None);
        let on_job = |job: &Job| self.note_job(&context.owner, job);
        let live = Live::new(sink, from, &on_job);
        let result = match self.is_live(sink, &control) {
            true => self.wait_live(job_id, &control, &live)?,
            false => {
                let end = poll::wait_while(self, job_id, &control, &|| sink.is_wanted())?;
                end.ok_or_else(|| cancelled(Some(job_id)))?
            }
        };
        // A server that was polled has not named it before.
        let language = result.language.clone();
        live.accepted(&Job { language, ..Job::new(job_id, Status::Pending) });
        live.report_rest(&result);
        Ok(result)
    }
}
