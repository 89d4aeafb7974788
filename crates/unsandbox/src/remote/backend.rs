// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server as a [`Backend`]. Its calls block: the blocking form runs on the caller's thread, the event form on a
//! thread for each call.

use super::Remote;
use super::control::Control;
use super::live::Live;
use super::watchers::ended_job;
use crate::thread;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::wire::{OPTION_TABLE, OptionReach, OptionRow};
use unsandbox_protocol::{
    Backend, CallContext, Error, EventSink, ExecutionResult, Job, JobPage, Offsets, Page, Probe,
    Request, Submission, ValidRequest,
};

impl Remote {
    /// Makes a call on its own thread; its end goes to the sink.
    fn on_a_thread(
        &self,
        sink: &Arc<dyn EventSink>,
        call: impl FnOnce(&Remote) -> Result<Job, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (remote, sink) = (self.clone(), sink.clone());
        let body = move || {
            let end = catch_unwind(AssertUnwindSafe(|| call(&remote)));
            let panicked = || Error::internal("a call panicked").with_may_have_run(true);
            sink.finished(end.unwrap_or_else(|_| Err(panicked())));
        };
        thread::start("unsandbox-call", body).map(drop)
    }
}

impl Backend for Remote {
    /// Does not detect the language: the server does, and may know more languages.
    fn validate<'a>(&self, request: Cow<'a, Request>) -> Result<ValidRequest<'a>, Error> {
        let is_local = |row: &&OptionRow| row.reach == OptionReach::Local && (row.is_set)(&request);
        if let Some(OptionRow { name, .. }) = OPTION_TABLE.iter().find(is_local) {
            let endpoint = self.endpoint();
            return Err(Error::argument(format!(
                "{name} works only with local:, but the endpoint is {endpoint}"
            )));
        }
        ValidRequest::undetected(request)
    }

    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        let events = sink.clone();
        let spawned = self.on_a_thread(&sink, move |remote| {
            if !submission.listed {
                return remote.execute_at(submission, &*events).map(ended_job);
            }
            let cancel = submission.cancel.clone();
            let owner = submission.context.owner.clone();
            let job = remote.submit_listed(submission)?;
            let on_job = |job: &Job| remote.note_job(&owner, job);
            let live = Live::new(&*events, Offsets::default(), &on_job);
            let control = Control::new(cancel, None);
            live.accepted(&job);
            let live = remote.is_live(&*events, &control).then_some(&live);
            remote.wait_or_cancel(&job.job_id, &control, live).map(ended_job)
        });
        if let Err(error) = spawned {
            sink.finished(Err(error));
        }
    }

    fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.check_owner(&context.owner, job_id)?;
        self.watch_job(job_id, sink)
    }

    fn watch_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.check_owner(&context.owner, job_id)?;
        let (job_id, context, events) = (job_id.to_string(), context.clone(), sink.clone());
        self.on_a_thread(&sink, move |remote| {
            remote.report_events(&job_id, &context, from, &*events).map(ended_job)
        })
    }

    fn cancel(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.check_owner(&context.owner, job_id)?;
        let (job_id, context) = (job_id.to_string(), context.clone());
        self.on_a_thread(&sink, move |remote| remote.cancel_job(&job_id, &context).map(ended_job))
    }

    fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        self.check_owner(&context.owner, job_id)?;
        self.job(job_id, &self.query_control(context))
    }

    fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error> {
        self.check_owner(&context.owner, job_id)?;
        self.delete_within(job_id, &self.query_control(context))
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.job_page(page, &context.owner, &self.query_control(context))
    }

    fn languages(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.list_languages(&self.query_control(context))
    }

    fn validate_key(&self, context: &CallContext) -> Result<KeyInfo, Error> {
        self.key_info(&self.query_control(context))
    }

    /// Of the key, with the jobs of all its owners.
    fn usage(&self, context: &CallContext) -> Result<KeyUsage, Error> {
        self.key_usage(&self.query_control(context))
    }

    fn health(&self, context: &CallContext) -> Result<Health, Error> {
        self.check_health(&self.query_control(context))
    }

    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        Err(Error::argument(format!(
            "probe reports the layers of this machine and works only with local:, but the endpoint is {}",
            self.endpoint()
        )))
    }

    /// Drops the idle connections.
    fn close(&self, _: Duration) {
        self.drop_idle();
    }

    fn execute(
        &self,
        submission: Submission<'_>,
        sink: Arc<dyn EventSink>,
    ) -> Result<ExecutionResult, Error> {
        self.execute_at(submission, &*sink)
    }

    /// Reports to the sink only where it wants the output: a caller without it asks for the job by its id.
    fn submit_job(
        &self,
        submission: Submission<'_>,
        sink: Arc<dyn EventSink>,
    ) -> Result<Job, Error> {
        let owner = submission.context.owner.clone();
        let job = self.submit_listed(submission)?;
        if sink.wants_output() && self.features().events {
            let watched =
                self.watch_events(&job.job_id, &CallContext::of(owner), Offsets::default(), sink);
            watched.unwrap_or_else(|error| {
                log::warn!("no live output of {}: {error}", printable(&job.job_id))
            });
        }
        Ok(job)
    }

    fn wait_job(&self, job_id: &str, context: &CallContext) -> Result<ExecutionResult, Error> {
        self.check_owner(&context.owner, job_id)?;
        self.wait(job_id, &Control::new(context.cancel.clone(), context.deadline))
    }

    fn cancel_job(&self, job_id: &str, context: &CallContext) -> Result<ExecutionResult, Error> {
        self.check_owner(&context.owner, job_id)?;
        let job = self.cancel_within(job_id, &self.query_control(context))?;
        job.into_result().ok_or_else(|| Error::internal("a cancelled job came without its result"))
    }
}
