// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server as a [`Backend`], for whoever takes any of them. Its calls block, so each execution has a
//! thread here; a client's own calls do not come this way.

use super::Remote;
use crate::call::CallOptions;
use std::borrow::Cow;
use std::sync::Arc;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::language::require_language;
use unsandbox_protocol::{
    Backend, Error, EventSink, ExecutionResult, Job, Owner, Status, Submission,
};

impl Remote {
    fn aside(
        &self,
        sink: Arc<dyn EventSink>,
        call: impl FnOnce(&Remote) -> Result<Job, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let remote = self.clone();
        std::thread::Builder::new()
            .name("unsandbox-remote".to_string())
            .spawn(move || sink.finished(call(&remote)))
            .map(drop)
            .map_err(|cause| Error::internal("no thread for a call").with_cause(cause))
    }
}

fn ended(result: ExecutionResult) -> Job {
    let job = Job::new(result.job_id.clone().unwrap_or_default(), result.status.clone());
    Job {
        language: result.language.clone(),
        detected_language: result.detected_language.clone(),
        network_mode: result.network_mode.clone(),
        raw: result.raw.clone(),
        result: Some(Arc::new(result)),
        ..job
    }
}

impl Backend for Remote {
    fn submit(&self, submission: Submission, sink: Arc<dyn EventSink>) -> Result<Job, Error> {
        let Submission { request, listed, stdin, cancel, .. } = submission;
        let language = request.language.as_deref().map(require_language).transpose()?;
        let options = CallOptions { cancel, stdin, ..CallOptions::default() };
        if listed {
            let job = self.submit_job(language, Cow::Owned(request), options)?;
            self.watch(&Owner::default(), &job.job_id, sink)?;
            return Ok(job);
        }
        let output = sink.clone();
        let options = options.on_output(move |stream, bytes| output.output(stream, bytes));
        self.aside(sink, move |remote| {
            remote.execute(language, Cow::Owned(request), options).map(ended)
        })?;
        Ok(Job::new("", Status::Pending))
    }

    fn cancel(&self, _: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        let job_id = job_id.to_string();
        self.aside(sink, move |remote| {
            remote.cancel_job(&job_id, &CallOptions::default()).map(ended)
        })
    }

    fn get(&self, _: &Owner, job_id: &str) -> Result<Job, Error> {
        self.job(job_id, &CallOptions::default())
    }

    fn watch(&self, _: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        let job_id = job_id.to_string();
        self.aside(sink, move |remote| remote.wait(&job_id, &CallOptions::default()).map(ended))
    }

    fn list(&self, _: &Owner) -> Result<Vec<Job>, Error> {
        self.jobs(&CallOptions::default())
    }

    fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        self.list_languages(&CallOptions::default())
    }

    fn validate_key(&self) -> Result<KeyInfo, Error> {
        self.key_info(&CallOptions::default())
    }

    fn health(&self) -> Result<Health, Error> {
        self.check_health(&CallOptions::default())
    }
}
