// SPDX-License-Identifier: MIT OR Apache-2.0
//! The backend's answer to a submission. It comes as an event, and any number of requests may wait for it.

use tokio::sync::watch;
use unsandbox_protocol::backend::lost;
use unsandbox_protocol::{Error, Job};

#[derive(Debug)]
pub(crate) struct Acceptance(watch::Sender<Option<Result<Job, Error>>>);

impl Default for Acceptance {
    fn default() -> Self {
        Acceptance(watch::Sender::new(None))
    }
}

impl Acceptance {
    /// Only the first answer counts.
    pub(crate) fn set(&self, answer: Result<Job, Error>) {
        self.0.send_if_modified(|slot| {
            let is_first = slot.is_none();
            if is_first {
                *slot = Some(answer);
            }
            is_first
        });
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether the answer is that this job was accepted.
    pub(crate) fn is_of(&self, job_id: &str) -> bool {
        matches!(&*self.0.borrow(), Some(Ok(job)) if job.job_id == job_id)
    }

    pub(crate) async fn wait(&self) -> Result<Job, Error> {
        let mut answers = self.0.subscribe();
        let answer = answers.wait_for(Option::is_some).await;
        match answer.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            // The sender is borrowed here.
            _ => Err(lost(None)),
        }
    }
}
