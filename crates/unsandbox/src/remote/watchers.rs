// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sinks that watch jobs: one thread for each job that is watched, however many watch it.

use super::control::Control;
use super::{Remote, poll};
use crate::thread;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use unsandbox_protocol::cancel::CancelToken;
use unsandbox_protocol::{Error, EventSink, ExecutionResult, Job};

/// By the ids of jobs.
#[derive(Default)]
pub(super) struct Watchers(HashMap<String, Vec<Arc<dyn EventSink>>>);

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Remote {
    /// Reports the job's end to `sink`, unless nobody wants it before.
    pub(super) fn watch_job(&self, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        {
            let mut watchers = self.watchers();
            if let Some(sinks) = watchers.0.get_mut(job_id) {
                sinks.push(sink);
                return Ok(());
            }
            watchers.0.insert(job_id.to_string(), vec![sink]);
        }
        let (remote, id) = (self.clone(), job_id.to_string());
        let started = thread::start("unsandbox-watch", move || remote.report_end(&id));
        started.map(drop).inspect_err(|_| {
            // Dropped without the lock.
            let _sinks = self.watchers().0.remove(job_id);
        })
    }

    fn report_end(&self, job_id: &str) {
        let control = Control::new(CancelToken::new(), None);
        let wanted = || self.has_watchers(job_id);
        let ended =
            catch_unwind(AssertUnwindSafe(|| poll::wait_while(self, job_id, &control, &wanted)));
        let end = match ended {
            Ok(Ok(Some(result))) => Ok(ended_job(result)),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::internal("a call panicked").with_may_have_run(true)),
        };
        let sinks = self.watchers().0.remove(job_id).unwrap_or_default();
        for sink in sinks {
            // A sink that panics does not take the end from the others.
            let _ = catch_unwind(AssertUnwindSafe(|| sink.finished(end.clone())));
        }
    }

    /// Whether the end of a job is still wanted. If not, the next watcher starts a thread. Sinks are asked and dropped
    /// without the lock.
    fn has_watchers(&self, job_id: &str) -> bool {
        let mut unwanted = self.watchers().0.get(job_id).cloned().unwrap_or_default();
        unwanted.retain(|sink| !sink.is_wanted());
        let mut watchers = self.watchers();
        let Some(sinks) = watchers.0.get_mut(job_id) else { return false };
        sinks.retain(|sink| !unwanted.iter().any(|one| Arc::ptr_eq(one, sink)));
        if sinks.is_empty() {
            watchers.0.remove(job_id);
            return false;
        }
        true
    }
}

pub(super) fn ended_job(result: ExecutionResult) -> Job {
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
