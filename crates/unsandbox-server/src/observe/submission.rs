// SPDX-License-Identifier: MIT OR Apache-2.0
//! Follows each submission from its acceptance to its end, for the metrics and the audit file.

use super::audit::AuditLog;
use super::metrics::{EndedRun, Metrics};
use crate::access_log::Noted;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::auth::hex;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::Totals;
use unsandbox_protocol::{Error, Event, Job, Owner, Status, ValidRequest, wire};

/// Where submissions are counted and audited.
pub(crate) struct Observer {
    pub metrics: Arc<Metrics>,
    /// What each key has used.
    pub totals: Totals,
    audit: Option<Arc<AuditLog>>,
    /// The jobs that are followed: a repeated submission is told the events of the first one.
    followed: Mutex<HashSet<String>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// The facts of a request that outlive it.
#[derive(Debug)]
pub(crate) struct Facts {
    language: Option<&'static str>,
    network: &'static str,
    /// SHA-256 of the code, where there is an audit file.
    code: Option<String>,
}

impl Observer {
    pub(crate) fn new(metrics: Metrics, audit: Option<Arc<AuditLog>>) -> Observer {
        let (metrics, totals) = (Arc::new(metrics), Totals::default());
        Observer { metrics, totals, audit, followed: Mutex::default() }
    }

    /// Takes time that grows with the code, if there is an audit file.
    pub(crate) fn facts(&self, request: &ValidRequest<'_>) -> Facts {
        let code = self.audit.is_some().then(|| hex(&Sha256::digest(request.code.as_bytes())));
        let language = request.language().map(|language| language.name);
        Facts { language, network: request.network_mode().as_str(), code }
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
    /// Its job is that of an earlier submission, which is followed or was.
    is_repeated: bool,
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
        let mut progress = lock(&self.progress);
        match event {
            Event::Accepted(job) => {
                progress.accepted = Some(Instant::now());
                progress.job_id.clone_from(&job.job_id);
                // An empty id is of a backend that tells it later.
                let is_new = job.job_id.is_empty()
                    || lock(&self.observer.followed).insert(job.job_id.clone());
                progress.is_repeated = job.status.is_terminal() || !is_new;
                if job.status.is_terminal() && is_new {
                    lock(&self.observer.followed).remove(&job.job_id);
                }
            }
            Event::Started(_) if !progress.is_repeated && progress.started.is_none() => {
                progress.started = Some(Instant::now());
                if let Some(accepted) = progress.accepted {
                    self.observer.metrics.started(accepted.elapsed());
                }
            }
            _ => {}
        }
    }

    /// The job waits on disk, and this process ends: the next one runs it.
    pub(crate) fn left_to_the_next_process(&self) {
        let mut progress = lock(&self.progress);
        if progress.accepted.is_some() && !progress.is_repeated {
            let mut job = Job::new(&progress.job_id, Status::Pending);
            job.language = self.facts.language.map(str::to_string);
            self.audit(&progress, &Ok(job));
        }
        // What is told from now on is not its end.
        progress.is_repeated = true;
    }

    pub(crate) fn ended(&self, end: &Result<Job, Error>) {
        let progress = std::mem::take(&mut *lock(&self.progress));
        if progress.is_repeated {
            return;
        }
        if let Some(accepted) = progress.accepted {
            lock(&self.observer.followed).remove(&progress.job_id);
            let took = accepted.elapsed();
            if progress.started.is_none() {
                self.started_untold(end, took);
            }
            self.count(end, took);
            if let (Some(trace), Ok(job)) = (self.noted.trace(), end) {
                trace.export_run(job, accepted, progress.started);
            }
        }
        self.audit(&progress, end);
    }

    fn audit(&self, progress: &Progress, end: &Result<Job, Error>) {
        let Some(audit) = &self.observer.audit else { return };
        let failures = self.observer.metrics.audit_failures.clone();
        audit.write(self.line(progress, end).to_string(), move || _ = failures.inc());
    }

    /// A backend need not tell the start of a quick run; how long its program ran is in the result.
    fn started_untold(&self, end: &Result<Job, Error>, took: Duration) {
        let result = end.as_ref().ok().and_then(|job| job.result.as_deref());
        if let Some(usage) = result.and_then(|result| result.usage) {
            let ran = Duration::from_millis(usage.wall_time_ms);
            self.observer.metrics.started(took.saturating_sub(ran));
        }
    }

    fn language<'a>(&'a self, end: &'a Result<Job, Error>) -> Option<&'a str> {
        self.facts.language.or_else(|| end.as_ref().ok()?.language.as_deref())
    }

    fn count(&self, end: &Result<Job, Error>, took: Duration) {
        let (status, result) = match end {
            Ok(job) => (&job.status, job.result.as_deref()),
            Err(_) => (&Status::Failed, None),
        };
        let (language, network) = (self.language(end), self.facts.network);
        self.observer.totals.add(&self.owner, status, result);
        self.observer.metrics.ended(&EndedRun { language, network, status, result, took });
    }

    fn line(&self, progress: &Progress, end: &Result<Job, Error>) -> Value {
        let (job, error) = (end.as_ref().ok(), end.as_ref().err());
        let result = job.and_then(|job| job.result.as_deref());
        let job_id = job.map_or(progress.job_id.as_str(), |job| &job.job_id);
        let may_have_run = error.is_some_and(Error::may_have_run);
        let status = match job {
            Some(job) => job.status.as_str(),
            None if progress.accepted.is_some() || may_have_run => Status::Failed.as_str(),
            None => "refused",
        };
        let sender = self.noted.sender();
        json!({
            "time": format!("{:.3}", jiff::Timestamp::now()),
            "request_id": sender.request_id.as_str(),
            "key": sender.key,
            "client": sender.client.as_str(),
            "code_sha256": self.facts.code,
            "language": self.language(end),
            "network_mode": self.facts.network,
            "status": status,
            "exit_code": result.and_then(|result| result.exit_code),
            "limit": result.and_then(|result| result.limit).map(|limit| limit.as_str()),
            "error": error.map(wire::word_of_error),
            "job_id": Some(job_id).filter(|id| !id.is_empty()),
            "duration_ms": u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use unsandbox_protocol::{ExecutionResult, Request, Usage};

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
        let (first, second, late) = (followed(&observer), followed(&observer), followed(&observer));
        for one in [&first, &second] {
            one.event(Event::Accepted(&Job::new("a", Status::Running)));
        }
        for one in [&first, &second] {
            one.ended(&Ok(done("a")));
        }
        late.event(Event::Accepted(&done("a")));
        late.ended(&Ok(done("a")));
        assert_eq!(runs(&observer), 1);
        assert!(lock(&observer.followed).is_empty());
    }

    #[test]
    fn a_refused_submission_is_not_a_run() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        followed(&observer).ended(&Err(Error::argument("no")));
        assert_eq!(runs(&observer), 0);
    }

    #[test]
    fn a_job_for_the_next_process_has_not_ended() {
        let observer = Arc::new(Observer::new(Metrics::new(Vec::new()), None));
        let one = followed(&observer);
        one.event(Event::Accepted(&Job::new("a", Status::Pending)));
        one.left_to_the_next_process();
        one.ended(&Err(Error::internal("the sink was dropped")));
        assert_eq!(runs(&observer), 0);
    }
}
