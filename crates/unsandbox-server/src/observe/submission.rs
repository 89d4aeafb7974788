// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows each submission from its acceptance to its end, for the metrics and the audit file.

use super::audit::AuditLog;
use super::metrics::{EndedRun, Metrics};
use crate::access_log::Noted;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::auth::hex;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::Totals;
use unsandbox_protocol::{Error, Event, Job, Owner, Request, Status, ValidRequest, wire};

/// Where submissions are counted and audited.
pub(crate) struct Observer {
    pub metrics: Arc<Metrics>,
    /// What each key has used.
    pub totals: Totals,
    audit: Option<Arc<AuditLog>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// The facts of a request that outlive it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub language: Option<&'static str>,
    pub network: &'static str,
    /// SHA-256 of the code, where there is an audit file.
    pub code: Option<String>,
}

/// What a line of the audit file has beside the end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub request_id: Option<&'a str>,
    /// The short name of the key.
    pub key: Option<&'a str>,
    pub client: Option<&'a str>,
    pub facts: &'a Facts,
    pub job_id: &'a str,
    pub is_accepted: bool,
    pub took: Duration,
}

impl Observer {
    pub(crate) fn new(metrics: Metrics, audit: Option<Arc<AuditLog>>) -> Observer {
        let (metrics, totals) = (Arc::new(metrics), Totals::default());
        Observer { metrics, totals, audit }
    }

    /// Takes time that grows with the code, if there is an audit file.
    pub(crate) fn facts(&self, request: &ValidRequest<'_>) -> Facts {
        let language = request.language().map(|language| language.name);
        Facts { language, network: request.network_mode().as_str(), code: self.digest(request) }
    }

    pub(super) fn has_audit(&self) -> bool {
        self.audit.is_some()
    }

    pub(super) fn digest(&self, request: &Request) -> Option<String> {
        self.has_audit().then(|| hex(&Sha256::digest(request.code.as_bytes())))
    }

    pub(super) fn count(
        &self,
        owner: &Owner,
        facts: &Facts,
        end: &Result<Job, Error>,
        took: Duration,
    ) {
        let (status, result) = match end {
            Ok(job) => (&job.status, job.result.as_deref()),
            Err(_) => (&Status::Failed, None),
        };
        let (language, network) = (facts.language_of(end), facts.network);
        self.totals.add(owner, status, result);
        self.metrics.ended(&EndedRun { language, network, status, result, took });
    }

    pub(super) fn audit(&self, line: &Line<'_>, end: &Result<Job, Error>) {
        let Some(audit) = &self.audit else { return };
        let failures = self.metrics.audit_failures.clone();
        audit.write(line.with(end).to_string(), move || _ = failures.inc());
    }
}

impl Facts {
    fn language_of<'a>(&'a self, end: &'a Result<Job, Error>) -> Option<&'a str> {
        self.language.or_else(|| end.as_ref().ok()?.language.as_deref())
    }
}

impl Line<'_> {
    fn with(&self, end: &Result<Job, Error>) -> Value {
        let (job, error) = (end.as_ref().ok(), end.as_ref().err());
        let result = job.and_then(|job| job.result.as_deref());
        let job_id = job.map_or(self.job_id, |job| &job.job_id);
        let may_have_run = error.is_some_and(Error::may_have_run);
        let status = match job {
            Some(job) => job.status.as_str(),
            None if self.is_accepted || may_have_run => Status::Failed.as_str(),
            None => "refused",
        };
        json!({
            "time": format!("{:.3}", jiff::Timestamp::now()),
            "request_id": self.request_id,
            "key": self.key,
            "client": self.client,
            "code_sha256": self.facts.code,
            "language": self.facts.language_of(end),
            "network_mode": self.facts.network,
            "status": status,
            "exit_code": result.and_then(|result| result.exit_code),
            "limit": result.and_then(|result| result.limit).map(|limit| limit.as_str()),
            "error": error.map(wire::word_of_error),
            "job_id": Some(job_id).filter(|id| !id.is_empty()),
            "duration_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// One submission that the backend gets.
#[derive(Debug)]
pub(crate) struct Followed {
    observer: Arc<Observer>,
    owner: Owner,
    facts: Facts,
    noted: Noted,
    begun: Instant,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    accepted: Option<Instant>,
    job_id: String,
    started: Option<Instant>,
    /// Its run counts with an earlier submission, or in another process.
    counts_elsewhere: bool,
}

impl Followed {
    pub(crate) fn new(
        observer: Arc<Observer>,
        owner: Owner,
        facts: Facts,
        noted: Noted,
    ) -> Followed {
        let progress = Mutex::default();
        Followed { observer, owner, facts, noted, begun: Instant::now(), progress }
    }

    pub(crate) fn event(&self, event: Event<'_>) {
        if let Event::HandedOn = event {
            return self.handed_on();
        }
        let mut progress = lock(&self.progress);
        match event {
            Event::Accepted(job) => {
                progress.accepted = Some(Instant::now());
                progress.job_id.clone_from(&job.job_id);
            }
            Event::Repeated => progress.counts_elsewhere = true,
            Event::Started(_) if !progress.counts_elsewhere && progress.started.is_none() => {
                progress.started = Some(Instant::now());
                if let Some(accepted) = progress.accepted {
                    self.observer.metrics.started(accepted.elapsed());
                }
            }
            _ => {}
        }
    }

    /// Another process runs the job, and counts it.
    pub(crate) fn handed_on(&self) {
        let mut progress = lock(&self.progress);
        if progress.accepted.is_some() && !progress.counts_elsewhere {
            self.audit(&progress, &Ok(Job::new(&progress.job_id, Status::Pending)));
        }
        progress.counts_elsewhere = true;
    }

    pub(crate) fn ended(&self, end: &Result<Job, Error>) {
        let progress = std::mem::take(&mut *lock(&self.progress));
        if progress.counts_elsewhere {
            return;
        }
        if let Some(accepted) = progress.accepted {
            let took = accepted.elapsed();
            if progress.started.is_none() {
                self.started_untold(end, took);
            }
            self.observer.count(&self.owner, &self.facts, end, took);
            if let (Some(trace), Ok(job)) = (self.noted.trace(), end) {
                trace.export_run(job, accepted, progress.started);
            }
        }
        self.audit(&progress, end);
    }

    fn audit(&self, progress: &Progress, end: &Result<Job, Error>) {
        let sender = self.noted.sender();
        let line = Line {
            request_id: Some(sender.request_id.as_str()),
            key: sender.key.as_deref(),
            client: Some(sender.client.as_str()),
            facts: &self.facts,
            job_id: &progress.job_id,
            is_accepted: progress.accepted.is_some(),
            took: self.begun.elapsed(),
        };
        self.observer.audit(&line, end);
    }

    /// A backend need not tell the start of a quick run; how long its program ran is in the result.
    fn started_untold(&self, end: &Result<Job, Error>, took: Duration) {
        let result = end.as_ref().ok().and_then(|job| job.result.as_deref());
        if let Some(usage) = result.and_then(|result| result.usage) {
            let ran = Duration::from_millis(usage.wall_time_ms);
            self.observer.metrics.started(took.saturating_sub(ran));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use unsandbox_protocol::{ExecutionResult, Usage};

    fn followed(observer: &Arc<Observer>) -> Followed {
        let request = ValidRequest::new(Cow::Owned(Request::new("python", "code"))).unwrap();
        let facts = observer.facts(&request);
        Followed::new(observer.clone(), Owner::default(), facts, Noted::of_nobody())
    }

    fn runs(observer: &Observer) -> usize {
        let text = observer.metrics.text();
        let counts = text.lines().filter_map(|line| line.strip_prefix("unsandbox_runs_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    fn done(id: &str) -> Job {
        Job::new(id, Status::Completed)
    }

    #[test]
    fn an_audit_line_that_is_lost_is_counted_and_stops_nothing() {
        let audit = Some(Arc::new(AuditLog::closed()));
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), audit));
        let one = followed(&observer);
        one.event(Event::Accepted(&Job::new("a", Status::Pending)));
        one.ended(&Ok(done("a")));
        assert_eq!((runs(&observer), observer.metrics.audit_failures.get()), (1, 1));
    }

    #[test]
    fn the_start_of_each_program_is_measured_once() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        let mut result = ExecutionResult::new(Status::Completed);
        result.usage = Some(Usage::default());
        for (id, is_told, runs) in [("a", true, true), ("b", false, true), ("c", false, false)] {
            let one = followed(&observer);
            one.event(Event::Accepted(&Job::new(id, Status::Pending)));
            if is_told {
                one.event(Event::Started(&Job::new(id, Status::Running)));
            }
            let result = runs.then(|| Arc::new(result.clone()));
            one.ended(&Ok(Job { result, ..done(id) }));
        }
        let text = observer.metrics.text();
        assert!(text.contains("\nunsandbox_time_to_start_seconds_count 2\n"), "{text}");
    }

    #[test]
    fn the_job_of_a_repeated_submission_counts_once() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        let (first, second) = (followed(&observer), followed(&observer));
        for one in [&first, &second] {
            one.event(Event::Accepted(&Job::new("a", Status::Running)));
        }
        second.event(Event::Repeated);
        for one in [&first, &second] {
            one.ended(&Ok(done("a")));
        }
        assert_eq!(runs(&observer), 1);
    }

    #[test]
    fn a_refused_submission_is_not_a_run() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        followed(&observer).ended(&Err(Error::argument("no")));
        assert_eq!(runs(&observer), 0);
    }

    #[test]
    fn the_job_of_a_submission_that_was_handed_on_does_not_count() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        let (told, dropped) = (followed(&observer), followed(&observer));
        for one in [&told, &dropped] {
            one.event(Event::Accepted(&Job::new("a", Status::Pending)));
        }
        told.event(Event::HandedOn);
        told.ended(&Ok(done("a")));
        dropped.handed_on();
        dropped.ended(&Err(Error::internal("the sink was dropped")));
        assert_eq!(runs(&observer), 0);
    }
}
