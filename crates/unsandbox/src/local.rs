// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine inside this process, behind `local:`. Without it (another system, or the feature left
//! out) every use is a typed error that says why.

use crate::bounded;
use crate::fork::PerProcess;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::backend::{Capabilities, Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::{
    Backend, CallContext, Error, EventSink, ExecutionResult, IsolationPolicy, Job, JobPage,
    Offsets, Page, Probe, Submission, limits,
};

#[derive(Clone, Debug)]
pub(crate) struct LocalOptions {
    pub(crate) isolation: IsolationPolicy,
    pub(crate) concurrency: usize,
    pub(crate) queue_max: usize,
    /// Hosts that semitrusted runs may reach; empty: every public one.
    pub(crate) egress_allow: Vec<String>,
    /// Languages with the runtime that is taken before those of PATH.
    pub(crate) runtimes: Vec<(String, PathBuf)>,
    /// For calls that do not set their own.
    pub(crate) deadline: Option<Duration>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            egress_allow: Vec::new(),
            runtimes: Vec::new(),
            deadline: None,
        }
    }
}

#[cfg(all(feature = "engine", target_os = "linux"))]
type Engine = unsandbox_engine::Engine;
#[cfg(not(all(feature = "engine", target_os = "linux")))]
type Engine = std::convert::Infallible;

impl LocalOptions {
    /// Refuses hosts that no program could name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        #[cfg(all(feature = "engine", target_os = "linux"))]
        unsandbox_engine::check_hosts(&self.egress_allow)?;
        Ok(())
    }

    /// Refuses options that a server does not apply: a caller would rely on a protection that is not there.
    pub(crate) fn refuse_for_server(&self, endpoint: &str) -> Result<(), Error> {
        let refused = |what: &str, option: &str| {
            let code = unsandbox_protocol::ErrorCode::Config;
            Err(Error::new(
                code,
                format!(
                    "{what} works only with local:, but the endpoint is {endpoint}; set it on the server ({option})"
                ),
            ))
        };
        if !self.egress_allow.is_empty() {
            return refused("egress_allow", "`unsandbox serve --egress-allow`");
        }
        if self.isolation != IsolationPolicy::Auto {
            let what = format!("isolation {:?}", self.isolation.as_str());
            return refused(
                &what,
                "`unsandbox serve --isolation`; the field isolation of a result shows its level",
            );
        }
        Ok(())
    }
}

/// One engine for each process: a forked child never uses its parent's.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) options: LocalOptions,
    engine: PerProcess<Result<Arc<Engine>, Error>>,
}

impl Local {
    pub(crate) fn new(options: LocalOptions) -> Self {
        Local { options, engine: PerProcess::new() }
    }

    /// The submission with the deadline of the client's setting, where it has none of its own.
    fn bounded<'a>(&self, mut submission: Submission<'a>) -> Submission<'a> {
        if !submission.listed {
            submission.context = self.within(&submission.context);
        }
        submission
    }

    /// The context of a call that ends by the client's setting, where it has no deadline of its own.
    fn within(&self, context: &CallContext) -> CallContext {
        let deadline = context.deadline.or(self.options.deadline);
        CallContext { deadline, ..context.clone() }
    }

    /// Asks the engine what it answers from its memory.
    fn ask<T>(
        &self,
        context: &CallContext,
        question: impl FnOnce(&dyn Backend, &CallContext) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let context = self.within(context);
        context.check()?;
        question(&*self.backend()?, &context)
    }

    /// Asks the engine what may take it long: the jailer may have to start first, and programs to be run.
    fn ask_at_length<T: Send + 'static>(
        &self,
        context: &CallContext,
        question: impl FnOnce(&dyn Backend, &CallContext) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (engine, context) = (self.backend()?, self.within(context));
        let theirs = context.clone();
        bounded::ask(&context, move || question(&*engine, &theirs))
    }

    fn engine(&self) -> Result<&Arc<Engine>, Error> {
        self.engine.get_or_init(|| self.make()).as_ref().map_err(Clone::clone)
    }
}

#[cfg(all(feature = "engine", target_os = "linux"))]
impl Local {
    fn make(&self) -> Result<Arc<Engine>, Error> {
        let LocalOptions { isolation, concurrency, queue_max, .. } = self.options;
        let allow = self.options.egress_allow.clone();
        let egress = unsandbox_engine::EgressOptions { allow, ..Default::default() };
        let defaults = unsandbox_engine::EngineOptions::default();
        let options = unsandbox_engine::EngineOptions {
            isolation,
            concurrency,
            queue_max,
            egress,
            runtimes: self.options.runtimes.clone(),
            ..defaults
        };
        Engine::new(options).map(Arc::new)
    }

    fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        Ok(self.engine()?.clone())
    }
}

#[cfg(not(all(feature = "engine", target_os = "linux")))]
impl Local {
    fn make(&self) -> Result<Arc<Engine>, Error> {
        let why = if cfg!(target_os = "linux") {
            "this build has no embedded engine (feature `engine`)"
        } else {
            "the embedded engine needs Linux"
        };
        let code = unsandbox_protocol::ErrorCode::IsolationUnavailable;
        let fix = "set the URL of a server (base_url, --url or UNSANDBOX_URL)";
        Err(Error::new(code, format!("local: is not available: {why}; {fix}")))
    }

    fn backend(&self) -> Result<Arc<dyn Backend>, Error> {
        match **self.engine()? {}
    }
}

impl Backend for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities::IN_PROCESS
    }

    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        match self.backend() {
            Ok(engine) => engine.submit(self.bounded(submission), sink),
            Err(error) => sink.finished(Err(error)),
        }
    }

    fn execute(
        &self,
        submission: Submission<'_>,
        sink: Arc<dyn EventSink>,
    ) -> Result<ExecutionResult, Error> {
        self.backend()?.execute(self.bounded(submission), sink)
    }

    fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.backend()?.watch(job_id, context, sink)
    }

    fn watch_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.backend()?.watch_events(job_id, context, from, sink)
    }

    fn cancel(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.backend()?.cancel(job_id, context, sink)
    }

    fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        self.ask(context, |engine, context| engine.get_job(job_id, context))
    }

    fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error> {
        self.ask(context, |engine, context| engine.delete_job(job_id, context))
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.ask(context, |engine, context| engine.list_jobs(page, context))
    }

    fn languages(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.ask_at_length(context, |engine, context| engine.languages(context))
    }

    fn languages_with_versions(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.ask_at_length(context, |engine, context| engine.languages_with_versions(context))
    }

    fn validate_key(&self, context: &CallContext) -> Result<KeyInfo, Error> {
        self.ask(context, |engine, context| engine.validate_key(context))
    }

    fn usage(&self, context: &CallContext) -> Result<KeyUsage, Error> {
        self.ask(context, |engine, context| engine.usage(context))
    }

    fn health(&self, context: &CallContext) -> Result<Health, Error> {
        self.ask_at_length(context, |engine, context| engine.health(context))
    }

    fn probe(&self, context: &CallContext) -> Result<Probe, Error> {
        self.ask_at_length(context, |engine, context| engine.probe(context))
    }

    fn cancel_job(&self, job_id: &str, context: &CallContext) -> Result<ExecutionResult, Error> {
        self.backend()?.cancel_job(job_id, &self.within(context))
    }

    /// Ends the running programs and the jailer. An engine that was never used is not made for this.
    fn close(&self, grace: Duration) {
        if let Some(Ok(_)) = self.engine.get()
            && let Ok(engine) = self.backend()
        {
            engine.close(grace);
        }
    }
}
