// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts and audits the jobs whose submissions another process took: it wrote `pending`, or crashed. Who sent them, and
//! when their programs started, is not known here.

use super::submission::{Facts, Line, Observer};
use crate::keys::label;
use std::time::Duration;
use unsandbox_protocol::adopted::{AdoptedJob, AdoptedJobs};
use unsandbox_protocol::language::find_language;
use unsandbox_protocol::{Job, NetworkMode};

impl AdoptedJobs for Observer {
    fn ended(&self, ended: &AdoptedJob<'_>) {
        let AdoptedJob { owner, request, job, error } = *ended;
        let network = job.network_mode.as_deref().and_then(NetworkMode::parse);
        let facts = Facts {
            language: job.language.as_deref().and_then(find_language).map(|found| found.name),
            network: network.unwrap_or_default().as_str(),
            code: request.and_then(|request| self.digest(request)),
        };
        let end = error.map_or_else(|| Ok(job.clone()), |error| Err(error.clone()));
        let took = took(job);
        self.count(owner, &facts, &end, took);
        let line = Line {
            request_id: None,
            key: Some(label(owner)).filter(|label| !label.is_empty()),
            client: None,
            facts: &facts,
            job_id: &job.job_id,
            is_accepted: true,
            took,
        };
        self.audit(&line, &end);
    }

    /// Only the audit file has a digest of the code.
    fn wants_requests(&self) -> bool {
        self.has_audit()
    }
}

/// From the submission to the end, which are known in whole seconds; at least as long as this process had it.
fn took(job: &Job) -> Duration {
    let times = job.completed_at.zip(job.created_at);
    let seconds = times.map_or(0, |(end, begin)| end.saturating_sub(begin));
    let here = job.result.as_ref().and_then(|result| result.total_time_ms).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(Duration::from_millis(here))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use unsandbox_protocol::{ExecutionResult, Status};

    #[test]
    fn a_job_took_the_seconds_since_its_submission_and_at_least_its_time_here() {
        for (created, completed, here_ms, took_ms) in
            [(10, 13, Some(250), 3_000), (10, 10, Some(250), 250), (10, 7, None, 0)]
        {
            let mut result = ExecutionResult::new(Status::Completed);
            result.total_time_ms = here_ms;
            let mut job = Job::new("a", Status::Completed);
            (job.created_at, job.completed_at) = (Some(created), Some(completed));
            job.result = Some(Arc::new(result));
            assert_eq!(took(&job), Duration::from_millis(took_ms));
        }
    }
}
