// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this process knows of the jobs that it queues and runs: who waits for them, how far they are, and the shares of
//! the queue. The disk has the rest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::stopping;
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::turns::Turns;
use unsandbox_protocol::{
    CancelReason, CancelToken, Error, ErrorCode, EventSink, Job, Owner, Rerun,
};

/// Jobs at the inner backend beyond its places, so that each owner has one there whose turn it can be.
const HANDED_BEYOND_PLACES: usize = 64;

/// The queue counts as full when one part in this many of its bytes is free.
const FULL: u64 = 64;

/// A job that this process has in its queue, or runs.
pub(crate) struct Active {
    pub seq: i64,
    pub owner: Owner,
    /// As it was accepted.
    pub job: Job,
    pub rerun: Rerun,
    pub request_bytes: u64,
    pub accepted: Instant,
    pub stage: Stage,
    /// Of its submission; `None` for a job of an earlier process.
    pub sink: Option<Arc<dyn EventSink>>,
    /// Further sinks that get its end.
    pub watchers: Vec<Arc<dyn EventSink>>,
    /// A cancel that came while it was being started.
    pub cancelled: Option<CancelReason>,
    /// Ends its run.
    pub token: CancelToken,
    pub cancel_registration: Option<CancelGuard>,
}

impl Active {
    /// A job that waits, and for which nobody waits yet.
    pub(crate) fn new(
        seq: i64,
        owner: Owner,
        job: Job,
        rerun: Rerun,
        request_bytes: u64,
    ) -> Active {
        Active {
            seq,
            owner,
            job,
            rerun,
            request_bytes,
            accepted: Instant::now(),
            stage: Stage::Waiting,
            sink: None,
            watchers: Vec::new(),
            cancelled: None,
            token: CancelToken::new(),
            cancel_registration: None,
        }
    }

    /// Those who wait for it, to be told while the job stays here.
    pub(crate) fn take_sinks(&mut self) -> Vec<Arc<dyn EventSink>> {
        std::mem::take(&mut self.watchers).into_iter().chain(self.sink.take()).collect()
    }
}

impl Stage {
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Stage::Waiting)
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Waiting,
    /// Its start is being written.
    Starting,
    /// The inner backend has it.
    Handed,
    /// Its end is being written.
    Ending,
    /// Its end could not be written: it is told from memory, and tried again.
    Unsaved(Arc<Job>),
}

/// A caller that waits for the end of a job that another process has.
pub(crate) struct Elsewhere {
    pub job_id: String,
    pub sink: Arc<dyn EventSink>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Share {
    jobs: usize,
    bytes: u64,
}

/// The bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Jobs of one owner that wait.
    pub jobs_each: usize,
    /// Bytes of the requests of all jobs that wait.
    pub bytes: u64,
}

#[derive(Default)]
pub(crate) struct Live {
    pub active: HashMap<String, Active>,
    pub waiting: Turns<Owner, String>,
    /// What waits or is being accepted, by its owner.
    queued: HashMap<Owner, Share>,
    queued_bytes: u64,
    /// Jobs at the inner backend, or on their way there, by their owner.
    handed_of: HashMap<Owner, usize>,
    handed: usize,
    /// Ends that are being written.
    pub ending: usize,
    pub elsewhere: Vec<Elsewhere>,
    /// Whether this process owns the queue.
    pub has_queue: bool,
    /// Starts nothing any more.
    pub draining: bool,
    pub closed: bool,
    /// The store could not be written: nothing is started before.
    pub pause_until: Option<Instant>,
}

impl Live {
    /// Takes a place in the queue for a job that is being accepted.
    pub(crate) fn reserve(
        &mut self,
        owner: &Owner,
        bytes: u64,
        limits: QueueLimits,
    ) -> Result<(), Error> {
        if self.closed || self.draining {
            return Err(stopping());
        }
        let mut share = self.queued.get(owner).copied().unwrap_or_default();
        share.jobs += 1;
        share.bytes += bytes;
        if share.jobs > limits.jobs_each {
            let text = format!(
                "{} jobs of this key wait for their turn, which is the limit; retry after 1 s",
                limits.jobs_each
            );
            return Err(Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(1_000));
        }
        // An owner has at most three times what stays free, so that it never keeps all others out.
        let free = limits.bytes.checked_sub(self.queued_bytes + bytes);
        if free.is_none_or(|free| share.bytes > free.saturating_mul(3)) {
            let text = format!(
                "the {} bytes for the requests of waiting jobs are in use, or this key uses its share of them; retry \
                 after 1 s",
                limits.bytes
            );
            return Err(Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(1_000));
        }
        self.count(owner, bytes);
        Ok(())
    }

    /// Counts a job that waits, whatever the limits say: it was accepted before.
    pub(crate) fn count(&mut self, owner: &Owner, bytes: u64) {
        let share = self.queued.entry(owner.clone()).or_default();
        share.jobs += 1;
        share.bytes += bytes;
        self.queued_bytes += bytes;
    }

    /// Gives the place of a job back that does not wait any more.
    pub(crate) fn release(&mut self, owner: &Owner, bytes: u64) {
        let Some(share) = self.queued.get_mut(owner) else { return };
        share.jobs -= 1;
        share.bytes -= bytes;
        self.queued_bytes -= bytes;
        if share.jobs == 0 {
            self.queued.remove(owner);
        }
    }

    /// The next job to start, if the inner backend may have one more: as many as it has places, and one for each owner
    /// that has none there.
    pub(crate) fn next(&mut self, places: usize, now: Instant) -> Option<String> {
        let paused = self.pause_until.is_some_and(|until| now < until);
        if !self.has_queue || self.draining || paused {
            return None;
        }
        self.pause_until = None;
        let (handed, handed_of) = (self.handed, &self.handed_of);
        let has_place = |owner: &Owner| {
            let has_none = !handed_of.contains_key(owner);
            handed < places || (has_none && handed < places + HANDED_BEYOND_PLACES)
        };
        let (owner, job_id) = self.waiting.pop_of(has_place)?;
        *self.handed_of.entry(owner).or_default() += 1;
        self.handed += 1;
        if let Some(active) = self.active.get_mut(&job_id) {
            active.stage = Stage::Starting;
        }
        Some(job_id)
    }

    /// A job is no longer at the inner backend.
    pub(crate) fn unhand(&mut self, owner: &Owner) {
        self.handed -= 1;
        if let Some(count) = self.handed_of.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.handed_of.remove(owner);
            }
        }
    }

    /// Puts a job back into the queue that was not run.
    pub(crate) fn wait_again(&mut self, job_id: &str, pause: Duration) {
        let Some(active) = self.active.get_mut(job_id) else { return };
        active.stage = Stage::Waiting;
        let owner = active.owner.clone();
        self.waiting.put_back(&owner, job_id.to_string());
        self.pause_until = Some(Instant::now() + pause);
    }

    /// Jobs that wait here.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether hardly any job of a new owner would find room.
    pub(crate) fn is_full(&self, limits: QueueLimits) -> bool {
        limits.bytes.saturating_sub(self.queued_bytes) <= limits.bytes / FULL
    }

    /// Whether nothing is started, run or written.
    pub(crate) fn is_idle(&self) -> bool {
        self.handed == 0 && self.ending == 0
    }

    /// Gives up the jobs that wait: another process will have them. Their watchers then wait for that one.
    pub(crate) fn give_up_waiting(&mut self) -> Vec<Active> {
        let waiting = self.active.iter().filter(|(_, active)| active.stage.is_waiting());
        let ids: Vec<String> = waiting.map(|(job_id, _)| job_id.clone()).collect();
        let mut given = Vec::new();
        for job_id in ids {
            let Some(mut active) = self.active.remove(&job_id) else { continue };
            self.release(&active.owner, active.request_bytes);
            let watchers = std::mem::take(&mut active.watchers).into_iter();
            self.elsewhere.extend(watchers.map(|sink| Elsewhere { job_id: job_id.clone(), sink }));
            given.push(active);
        }
        self.waiting = Turns::default();
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QueueLimits = QueueLimits { jobs_each: 3, bytes: 100 };

    fn owner(name: &str) -> Owner {
        Owner(name.to_string())
    }

    #[test]
    fn an_owner_never_fills_the_queue_for_the_others() {
        let mut live = Live::default();
        let (a, b) = (owner("a"), owner("b"));
        live.reserve(&a, 75, LIMITS).unwrap();
        assert_eq!(live.reserve(&a, 1, LIMITS).unwrap_err().code(), ErrorCode::RateLimited);
        live.reserve(&b, 18, LIMITS).unwrap();
        live.release(&a, 75);
        for _ in 0..3 {
            live.reserve(&a, 1, LIMITS).unwrap();
        }
        let error = live.reserve(&a, 1, LIMITS).unwrap_err();
        assert!(error.message().starts_with("3 jobs of this key wait"), "{error}");
        assert_eq!(error.retry_after_ms(), Some(1_000));
        live.reserve(&b, 1, LIMITS).unwrap();
    }

    #[test]
    fn each_owner_has_a_job_at_the_backend_whose_turn_it_can_be() {
        let mut live = Live { has_queue: true, ..Live::default() };
        for index in 0..5 {
            live.waiting.push(&owner("a"), format!("a{index}"));
        }
        let next = |live: &mut Live| live.next(2, Instant::now());
        assert_eq!((next(&mut live), next(&mut live)), (Some("a0".into()), Some("a1".into())));
        assert_eq!(next(&mut live), None, "two places, and this owner has both");
        live.waiting.push(&owner("b"), "b0".to_string());
        live.waiting.push(&owner("b"), "b1".to_string());
        assert_eq!((next(&mut live), next(&mut live)), (Some("b0".into()), None));
        live.unhand(&owner("a"));
        assert_eq!(next(&mut live), None, "two are left of three: both places are in use");
        live.unhand(&owner("a"));
        assert_eq!((next(&mut live), next(&mut live)), (Some("a2".into()), None));
        live.unhand(&owner("b"));
        assert_eq!(next(&mut live), Some("b1".into()), "it is the turn of the other owner");
    }

    #[test]
    fn nothing_is_started_without_the_queue_or_after_a_failure_of_the_store() {
        let mut live = Live::default();
        live.waiting.push(&owner("a"), "a0".to_string());
        let now = Instant::now();
        assert_eq!(live.next(1, now), None);
        live.has_queue = true;
        live.pause_until = Some(now + Duration::from_secs(1));
        assert_eq!(live.next(1, now), None);
        assert_eq!(live.next(1, now + Duration::from_secs(1)), Some("a0".into()));
    }
}
