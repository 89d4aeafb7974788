// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executions at a server: the choice of the route, the submission, and the cancellation when the caller gives up.

use super::control::Control;
use super::exchange::{Answer, Ask};
use super::live::Live;
use super::once::Once;
use super::poll;
use super::{QUEUE_TIME, Remote, RemoteOptions};
use crate::input::read_whole;
use std::borrow::Cow;
use std::io::Read;
use std::time::Duration;
use unsandbox_protocol::language::Language;
use unsandbox_protocol::wire::{self, OPTION_TABLE, OptionReach, OptionRow, Submitted};
use unsandbox_protocol::{
    CancelToken, Error, ErrorCode, EventSink, ExecutionResult, Job, Offsets, Request, Submission,
    ValidRequest, limits,
};

/// A submission as it is sent.
pub(super) struct EncodedRequest {
    target: Cow<'static, str>,
    content_type: &'static str,
    body: String,
    /// The language, if the client has detected it.
    detected: Option<&'static str>,
    /// Whether it is an asynchronous submission.
    as_job: bool,
}

impl Remote {
    /// Runs code and waits. Output comes as the program writes it from a server that tells it, else in one piece with the
    /// result.
    pub(super) fn execute_at(
        &self,
        submission: Submission<'_>,
        sink: &dyn EventSink,
    ) -> Result<ExecutionResult, Error> {
        let owner = submission.context.owner.clone();
        let _link = submission.link_context();
        let end = self.execute_unnoted(submission, sink);
        let job_id = match &end {
            Ok(result) => result.job_id.as_deref(),
            Err(error) => error.job_id(),
        };
        if let Some(job_id) = job_id {
            self.owners().note(&owner, job_id);
        }
        end
    }

    fn execute_unnoted(
        &self,
        submission: Submission<'_>,
        sink: &dyn EventSink,
    ) -> Result<ExecutionResult, Error> {
        let Submission { request, stdin, cancel, as_job, context, .. } = submission;
        let request = with_stdin(request, stdin)?;
        let ttl = Duration::from_secs(request.ttl_seconds().unsigned_abs());
        let steps = steps_beside(request.language(), &request);
        let control = self.execution(cancel, context.deadline, ttl + steps);
        let beyond_the_service = beyond_the_service(&request);
        let RemoteOptions { cancel_jobs, job_threshold, .. } = self.inner.options;
        let as_job = as_job || cancel_jobs || ttl > job_threshold;
        let encoded = self.encode(request, as_job, &control)?;
        let detected = encoded.detected;
        let on_job = |job: &Job| self.note_job(&context.owner, job);
        let live = Live::new(sink, Offsets::default(), &on_job);
        let reads_events = self.is_live(sink, &control);
        let answer = match as_job {
            true => self.submit_detached(encoded, &control)?,
            false => self.submit_encoded(&encoded, &control, reads_events.then_some(&live))?,
        };
        let submitted = wire::decode_submission_or_result(answer.body, answer.status)
            .map_err(|error| error.with_may_have_run(true))?;
        self.warn_of_ignored(&beyond_the_service);
        let mut result = match submitted {
            Submitted::Result(result) => *result,
            Submitted::Job(job) => {
                live.accepted(&job);
                self.wait_or_cancel(&job.job_id, &control, reads_events.then_some(&live))?
            }
        };
        if let Some(name) = detected {
            result.detected_language.get_or_insert_with(|| name.to_string());
        }
        live.report_rest(&result);
        Ok(result)
    }

    /// Submits a job. The context limits the submission, not the job.
    pub(super) fn submit_listed(&self, submission: Submission<'_>) -> Result<Job, Error> {
        let Submission { request, stdin, context, .. } = submission;
        let request = with_stdin(request, stdin)?;
        let limit = context.deadline.or(self.inner.options.timeouts.call).unwrap_or(QUEUE_TIME);
        let control = Control::new(context.cancel, Some(limit));
        let beyond_the_service = beyond_the_service(&request);
        let encoded = self.encode(request, true, &control)?;
        let detected = encoded.detected;
        let answer = self.submit_detached(encoded, &control)?;
        self.warn_of_ignored(&beyond_the_service);
        let mut job = wire::decode_submission(&answer.body, answer.status)
            .map_err(|error| error.with_may_have_run(true))?;
        self.note_job(&context.owner, &job);
        if let Some(name) = detected {
            job.detected_language.get_or_insert_with(|| name.to_string());
        }
        Ok(job)
    }

    /// Logs that a server may not know what was asked for.
    fn warn_of_ignored(&self, names: &[&str]) {
        if !names.is_empty() && !self.features().run_json {
            let (endpoint, names) = (self.endpoint(), names.join(" and "));
            log::warn!("{endpoint} may have ignored {names}: it does not announce support");
        }
    }

    /// The limits of an execution: long enough for every run that the server allows.
    fn execution(
        &self,
        cancel: CancelToken,
        deadline: Option<Duration>,
        longest: Duration,
    ) -> Control {
        let limit = deadline.or(self.inner.options.timeouts.call).unwrap_or(longest + QUEUE_TIME);
        Control::new(cancel, Some(limit))
    }

    /// Chooses the route. A request without a language whose options `/run` cannot carry in its query is sent there as
    /// JSON if the server supports that; otherwise its language is detected here.
    fn encode(
        &self,
        request: ValidRequest<'_>,
        as_job: bool,
        control: &Control,
    ) -> Result<EncodedRequest, Error> {
        let (execute, run) = match as_job {
            true => ("/execute/async", "/run/async"),
            false => ("/execute", "/run"),
        };
        let json = |path: &'static str, request: &Request, detected| EncodedRequest {
            target: path.into(),
            content_type: "application/json",
            body: wire::encode_execute(request),
            detected,
            as_job,
        };
        if let Some(language) = request.language() {
            let detected = request.is_detected().then_some(language.name);
            return Ok(json(execute, &request.into_request(), detected));
        }
        let plain = OPTION_TABLE.iter().all(|row| row.query.is_some() || !(row.is_set)(&request));
        if plain {
            let query = wire::encode_run_query(&request);
            let target = format!("{run}?{query}").into();
            let body = request.into_request().into_owned().code;
            let content_type = "text/plain";
            return Ok(EncodedRequest { target, content_type, body, detected: None, as_job });
        }
        if self.features_asked(control).run_json {
            return Ok(json(run, &request, None));
        }
        self.encode(request.detect()?, as_job, control)
    }

    /// Sends a submission, and repeats it where that cannot run it twice.
    pub(super) fn submit_encoded(
        &self,
        encoded: &EncodedRequest,
        control: &Control,
        live: Option<&Live<'_>>,
    ) -> Result<Answer, Error> {
        let as_job = encoded.as_job;
        let once = Once::new(self.store_for_submission(as_job, control), as_job);
        let ask = Ask {
            content_type: encoded.content_type,
            once: Some(&once),
            live,
            ..Ask::post(&encoded.target, encoded.body.as_bytes())
        };
        self.ask(&ask, control, &[])
    }

    /// Waits for a job of this call; if the caller gives up, the job is cancelled.
    pub(super) fn wait_or_cancel(
        &self,
        job_id: &str,
        control: &Control,
        live: Option<&Live<'_>>,
    ) -> Result<ExecutionResult, Error> {
        let end = match live {
            Some(live) => self.wait_live(job_id, control, live),
            None => poll::wait(self, job_id, control),
        };
        match &end {
            Err(error) if matches!(error.code(), ErrorCode::Cancelled | ErrorCode::Timeout) => {
                self.cancel_detached(job_id);
                end.map_err(|error| error.with_job_id(job_id).with_may_have_run(true))
            }
            _ => end,
        }
    }
}

/// The options of a request that the service does not know.
fn beyond_the_service(request: &Request) -> Vec<&'static str> {
    let asked = |row: &&OptionRow| row.reach != OptionReach::Everywhere && (row.is_set)(request);
    OPTION_TABLE.iter().filter(asked).map(|row| row.name).collect()
}

/// The time for compiling and for making the requested artifacts, in addition to the run.
fn steps_beside(language: Option<&Language>, request: &Request) -> Duration {
    let steps = 1 + u32::from(request.return_artifact) + u32::from(request.return_wasm_artifact);
    // If only the server detects the language, the slowest compiler is assumed.
    language.map_or(limits::COMPILE_TIME_MAX, Language::compile_time) * steps
}

/// Reads a streamed standard input to its end, because a server needs all of it.
fn with_stdin(
    mut request: ValidRequest<'_>,
    stdin: Option<Box<dyn Read + Send>>,
) -> Result<ValidRequest<'_>, Error> {
    if let Some(stdin) = stdin {
        request.set_stdin(read_whole("stdin", stdin)?);
    }
    Ok(request)
}
