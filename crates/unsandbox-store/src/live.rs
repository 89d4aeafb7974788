// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this process knows of the jobs that it queues and runs: who waits for them, how far they are, and the shares of
//! the queue. The disk has the rest.

use crate::follower::Follower;
use crate::rows::End;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::stopping;
use unsandbox_protocol::cancel::CancelGuard;
use unsandbox_protocol::quota::{KeptFree, Quotas, queue_full};
use unsandbox_protocol::share::{largest_share, within_share};
use unsandbox_protocol::turns::Turns;
use unsandbox_protocol::{
    CancelReason, CancelToken, Error, ErrorCode, EventSink, Job, Owner, Rerun, Status,
};

/// Jobs at the inner backend beyond its concurrency, so that each owner has one there whose turn it can be.
const DISPATCHED_BEYOND: usize = 64;
/// Requests of all jobs at the inner backend: beyond it none is dispatched.
const DISPATCHED_MAX_BYTES: u64 = 256 << 20;

/// The queue counts as full when one part in this many of its bytes is free.
const FULL: u64 = 64;

/// A job that this process has in its queue, or runs.
pub(crate) struct Active {
    pub seq: i64,
    pub owner: Owner,
    /// As it was accepted, and with its start.
    pub job: Job,
    pub rerun: Rerun,
    pub request_bytes: u64,
    pub accepted: Instant,
    pub stage: Stage,
    /// Of its submission, if this process took that.
    pub sink: Option<Arc<dyn EventSink>>,
    /// Another process took its submission.
    pub is_adopted: bool,
    /// Further sinks that get its end.
    pub watchers: Vec<Arc<dyn EventSink>>,
    /// Sinks that follow its events, until the inner backend has it.
    pub followers: Vec<Arc<Follower>>,
    /// Whether the inner backend knows it.
    pub is_at_inner: bool,
    /// A cancel that came before its end.
    pub cancelled: Option<CancelReason>,
    /// Ends its run.
    pub token: CancelToken,
    pub cancel_registration: Option<CancelGuard>,
}

impl Active {
    /// An adopted job that waits, and whose end nobody waits for yet.
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
            is_adopted: true,
            watchers: Vec::new(),
            followers: Vec::new(),
            is_at_inner: false,
            cancelled: None,
            token: CancelToken::new(),
            cancel_registration: None,
        }
    }

    /// All who get its end.
    pub(crate) fn take_sinks(&mut self) -> Vec<Arc<dyn EventSink>> {
        std::mem::take(&mut self.watchers).into_iter().chain(self.sink.take()).collect()
    }

    /// Records a cancel. That of a caller counts more than that of a stop, after which the job may run again.
    pub(crate) fn cancel(&mut self, reason: CancelReason) {
        if self.cancelled.is_none_or(|known| known == CancelReason::Stop) {
            self.cancelled = Some(reason);
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Waiting,
    /// Its start is being written.
    Starting,
    /// The inner backend has it.
    Dispatched,
    /// It was not run, which is being written.
    Requeueing,
    /// Its end is being written.
    Ending(Box<Ended>),
}

/// The end of a job that is not on disk yet.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub end: End,
    /// What its sinks get.
    pub report: Result<Job, Error>,
    /// It was reported: the disk refused it, and is tried again.
    pub is_reported: bool,
}

/// A caller that waits for the end of a job that another process has.
pub(crate) struct Elsewhere {
    pub job_id: String,
    pub sink: Arc<dyn EventSink>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Share {
    jobs: usize,
    /// Of those, the ones whose start is being written: they have a place already.
    starting: usize,
    bytes: u64,
}

/// The bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Jobs of the owner that wait.
    pub waiting_each: usize,
    /// Further jobs of it that would start at once.
    pub places: usize,
    /// Bytes of the requests of all jobs that wait.
    pub bytes: u64,
}

#[derive(Default)]
pub(crate) struct Live {
    pub active: HashMap<String, Active>,
    /// May name jobs that do not wait any more: they are passed over.
    pub waiting: Turns<Owner, String>,
    /// Jobs that wait or are being accepted, by their owner.
    queued: HashMap<Owner, Share>,
    queued_bytes: u64,
    /// Jobs at the inner backend, or on their way there, by their owner.
    dispatched_of: HashMap<Owner, usize>,
    dispatched: usize,
    dispatched_bytes: u64,
    /// Ends that are being written.
    pub ending: usize,
    /// Jobs whose last change the disk has refused. Nothing is started before it takes them.
    pub unwritten: BTreeSet<String>,
    /// Those of them that are being tried again.
    pub retrying: BTreeSet<String>,
    pub elsewhere: Vec<Elsewhere>,
    /// Whether this process owns the queue.
    pub has_queue: bool,
    /// Starts nothing any more.
    pub draining: bool,
    /// Takes jobs all the same, for another process.
    pub hands_over: bool,
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
        if self.closed || self.draining && !self.hands_over {
            return Err(stopping());
        }
        let most = largest_share(limits.bytes);
        if bytes > most {
            return Err(Error::argument(format!(
                "the request has {bytes} bytes in the store; a job may have at most {most}, three quarters of \
                 --queue-bytes of this server"
            )));
        }
        let mut share = self.queued.get(owner).copied().unwrap_or_default();
        share.jobs += 1;
        share.bytes += bytes;
        if share.jobs - share.starting > limits.waiting_each.saturating_add(limits.places) {
            return Err(queue_full(limits.waiting_each));
        }
        let free = limits.bytes.checked_sub(self.queued_bytes + bytes);
        if !free.is_some_and(|free| within_share(share.bytes, free)) {
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

    /// The next job to start, if the inner backend may have one more: as many as it runs at once, without the places that
    /// others have reserved; all that its owner has reserved; and one for each owner that has none there.
    pub(crate) fn next(
        &mut self,
        concurrency: usize,
        quotas: &dyn Quotas,
        now: Instant,
    ) -> Option<String> {
        let paused = self.pause_until.is_some_and(|until| now < until);
        let is_full = self.dispatched_bytes >= DISPATCHED_MAX_BYTES;
        if !self.has_queue || self.draining || paused || is_full || !self.unwritten.is_empty() {
            return None;
        }
        self.pause_until = None;
        let (dispatched, dispatched_of) = (self.dispatched, &self.dispatched_of);
        let count = |owner: &Owner| dispatched_of.get(owner).copied().unwrap_or(0);
        let kept = KeptFree::now(quotas, count);
        let has_place = |owner: &Owner| {
            let (quota, mine) = (quotas.quota(owner), count(owner));
            let is_free = mine < quota.reserved || dispatched + kept.from(owner) < concurrency;
            let is_first = mine == 0 && dispatched < concurrency + DISPATCHED_BEYOND;
            quota.concurrency.is_none_or(|most| mine < most) && (is_free || is_first)
        };
        let waits = |job_id: &String| {
            self.active.get(job_id).is_some_and(|it| matches!(it.stage, Stage::Waiting))
        };
        let (owner, job_id) =
            self.waiting.pop_of(has_place, waits, |owner| quotas.quota(owner).weight)?;
        let active = self.active.get_mut(&job_id)?;
        active.stage = Stage::Starting;
        self.dispatched_bytes += active.request_bytes;
        if let Some(share) = self.queued.get_mut(&owner) {
            share.starting += 1;
        }
        *self.dispatched_of.entry(owner).or_default() += 1;
        self.dispatched += 1;
        Some(job_id)
    }

    /// The start of a job is on disk, or could not be written.
    pub(crate) fn has_started(&mut self, owner: &Owner) {
        if let Some(share) = self.queued.get_mut(owner) {
            share.starting = share.starting.saturating_sub(1);
        }
    }

    /// A job is no longer at the inner backend, or on its way there.
    pub(crate) fn undispatch(&mut self, owner: &Owner, bytes: u64) {
        self.dispatched -= 1;
        self.dispatched_bytes -= bytes;
        if let Some(count) = self.dispatched_of.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.dispatched_of.remove(owner);
            }
        }
    }

    /// Jobs of an owner at the inner backend, and those of all.
    pub(crate) fn dispatched(&self, owner: &Owner) -> (usize, usize) {
        (self.dispatched_of.get(owner).copied().unwrap_or(0), self.dispatched)
    }

    /// Puts a job back into the queue that was not run.
    pub(crate) fn wait_again(&mut self, job_id: &str, pause: Duration) {
        let Some(active) = self.active.get_mut(job_id) else { return };
        (active.stage, active.is_at_inner) = (Stage::Waiting, false);
        (active.job.status, active.job.started_at) = (Status::Pending, None);
        let owner = active.owner.clone();
        self.waiting.put_back(&owner, job_id.to_string());
        self.pause_until = Some(Instant::now() + pause);
    }

    /// Jobs that wait here, or are being accepted.
    pub(crate) fn waiting_len(&self) -> usize {
        self.queued.values().map(|share| share.jobs).sum()
    }

    /// Jobs of one owner that wait here, or are being accepted.
    pub(crate) fn waiting_of(&self, owner: &Owner) -> usize {
        self.queued.get(owner).map_or(0, |share| share.jobs)
    }

    /// Whether hardly any job of a new owner would find room.
    pub(crate) fn is_full(&self, bytes: u64) -> bool {
        bytes.saturating_sub(self.queued_bytes) <= bytes / FULL
    }

    /// Whether nothing is started, run or written.
    pub(crate) fn is_idle(&self) -> bool {
        self.dispatched == 0 && self.ending == 0
    }

    /// Gives a job up that another process has, or will find on the disk. To be handed on without the lock.
    #[must_use]
    pub(crate) fn give_up(&mut self, job_id: &str) -> Option<Active> {
        self.unwritten.remove(job_id);
        self.retrying.remove(job_id);
        self.active.remove(job_id)
    }

    /// Gives up all jobs that wait, as [`Live::give_up`].
    #[must_use]
    pub(crate) fn give_up_waiting(&mut self) -> Vec<Active> {
        let waiting =
            self.active.iter().filter(|(_, active)| matches!(active.stage, Stage::Waiting));
        let ids: Vec<String> = waiting.map(|(job_id, _)| job_id.clone()).collect();
        self.waiting = Turns::default();
        let given: Vec<Active> = ids.iter().filter_map(|job_id| self.give_up(job_id)).collect();
        given.iter().for_each(|active| self.release(&active.owner, active.request_bytes));
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::quota::{NoQuotas, Quota};

    const LIMITS: QueueLimits = QueueLimits { waiting_each: 2, places: 1, bytes: 100 };

    fn owner(name: &str) -> Owner {
        Owner(name.to_string())
    }

    fn wait(live: &mut Live, by: &str, job_id: &str) {
        let job = Job::new(job_id, Status::Pending);
        let active = Active::new(1, owner(by), job, Rerun::Never, 1);
        live.active.insert(job_id.to_string(), active);
        live.waiting.push(&owner(by), job_id.to_string());
    }

    #[test]
    fn an_owner_never_fills_the_queue_for_the_others() {
        let mut live = Live::default();
        let (a, b) = (owner("a"), owner("b"));
        live.reserve(&a, 75, LIMITS).unwrap();
        assert_eq!(live.reserve(&a, 1, LIMITS).unwrap_err().code(), ErrorCode::RateLimited);
        assert_eq!(live.reserve(&b, 76, LIMITS).unwrap_err().code(), ErrorCode::Argument);
        live.reserve(&b, 18, LIMITS).unwrap();
        live.release(&a, 75);
        for _ in 0..3 {
            live.reserve(&a, 1, LIMITS).unwrap();
        }
        let error = live.reserve(&a, 1, LIMITS).unwrap_err();
        assert!(error.message().starts_with("2 executions wait"), "{error}");
        assert_eq!(error.retry_after_ms(), Some(1_000));
        live.reserve(&b, 1, LIMITS).unwrap();
    }

    #[test]
    fn each_owner_has_a_job_at_the_backend_whose_turn_it_can_be() {
        let mut live = Live { has_queue: true, ..Live::default() };
        (0..5).for_each(|index| wait(&mut live, "a", &format!("a{index}")));
        let next = |live: &mut Live| live.next(2, &NoQuotas, Instant::now());
        assert_eq!((next(&mut live), next(&mut live)), (Some("a0".into()), Some("a1".into())));
        assert_eq!(next(&mut live), None, "two places, and this owner has both");
        ["b0", "b1"].iter().for_each(|job_id| wait(&mut live, "b", job_id));
        assert_eq!((next(&mut live), next(&mut live)), (Some("b0".into()), None));
        live.undispatch(&owner("a"), 1);
        assert_eq!(next(&mut live), None, "two are left of three: both places are in use");
        live.undispatch(&owner("a"), 1);
        assert_eq!((next(&mut live), next(&mut live)), (Some("a2".into()), None));
        live.undispatch(&owner("b"), 1);
        assert_eq!(next(&mut live), Some("b1".into()), "it is the turn of the other owner");
    }

    #[test]
    fn a_quota_bounds_what_an_owner_has_at_the_backend_and_keeps_places_for_another() {
        #[derive(Debug)]
        struct Some;
        impl Quotas for Some {
            fn quota(&self, owner: &Owner) -> Quota {
                match owner.0.as_str() {
                    "a" => Quota { concurrency: Option::Some(2), ..Quota::default() },
                    "b" => Quota { reserved: 2, ..Quota::default() },
                    _ => Quota { weight: 2, ..Quota::default() },
                }
            }
            fn reservations(&self, each: &mut dyn FnMut(&Owner, usize)) {
                each(&owner("b"), 2);
            }
        }
        let mut live = Live { has_queue: true, ..Live::default() };
        for by in ["a", "b", "c"] {
            (0..4).for_each(|index| wait(&mut live, by, &format!("{by}{index}")));
        }
        let next = |live: &mut Live| -> Vec<String> {
            std::iter::from_fn(|| live.next(4, &Some, Instant::now())).collect()
        };
        assert_eq!(
            next(&mut live),
            ["a0", "b0", "c0", "b1"],
            "b has two of its own, whatever c would take"
        );
        ["c", "b"].iter().for_each(|name| live.undispatch(&owner(name), 1));
        assert_eq!(next(&mut live), ["c1", "b2"], "the last place is kept for b");
        live.undispatch(&owner("c"), 1);
        assert_eq!(next(&mut live), ["a1", "c2"], "c has one there whose turn it can be");
        ["c", "b", "b"].iter().for_each(|name| live.undispatch(&owner(name), 1));
        assert!(next(&mut live).iter().all(|job_id| !job_id.starts_with('a')), "a has two there");
    }

    #[test]
    fn nothing_is_started_without_the_queue_or_after_a_failure_of_the_store() {
        let mut live = Live::default();
        wait(&mut live, "a", "a0");
        let now = Instant::now();
        assert_eq!(live.next(1, &NoQuotas, now), None);
        live.has_queue = true;
        live.pause_until = Some(now + Duration::from_secs(1));
        assert_eq!(live.next(1, &NoQuotas, now), None);
        live.unwritten.insert("other".to_string());
        assert_eq!(live.next(1, &NoQuotas, now + Duration::from_secs(1)), None);
        live.unwritten.clear();
        assert_eq!(live.next(1, &NoQuotas, now + Duration::from_secs(1)), Some("a0".into()));
    }

    #[test]
    fn a_job_that_does_not_wait_any_more_is_passed_over() {
        let mut live = Live { has_queue: true, ..Live::default() };
        ["a0", "a1", "a2"].iter().for_each(|job_id| wait(&mut live, "a", job_id));
        live.active.get_mut("a0").unwrap().stage = Stage::Requeueing;
        live.active.remove("a1");
        assert_eq!(live.next(1, &NoQuotas, Instant::now()), Some("a2".into()));
        live.undispatch(&owner("a"), 1);
        assert!(live.is_idle());
    }
}
