// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jobs that a server has named to this client. If the server does not know one of them any more, the job is lost; an
//! id that only the caller has named is not found.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// With more than this, the oldest are removed. Each takes some 30 bytes, for ids of any length.
const IDS_MAX: usize = 65_536;
/// How many times a job that was just submitted may be unknown: not every server may know it yet.
const MISSES_MAX: usize = 5;

/// The meaning of a NOT_FOUND about a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    /// No server has named it before.
    NotFound,
    /// It was accepted, and was unknown this many times before.
    NotYet(usize),
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    hasher: RandomState,
    /// How often each was unknown; MISSES_MAX for a job that the server has returned, which is lost at once.
    misses: HashMap<u64, usize>,
    order: VecDeque<u64>,
}

impl Jobs {
    /// Notes the job id in the answer to a submission.
    pub(super) fn accept(&mut self, job_id: &str) {
        let id = self.hasher.hash_one(job_id);
        self.misses_of(id);
    }

    /// Notes that the server has returned the job.
    pub(super) fn show(&mut self, job_id: &str) {
        let id = self.hasher.hash_one(job_id);
        *self.misses_of(id) = MISSES_MAX;
    }

    /// Notes that the caller has deleted it: it is not lost.
    pub(super) fn forget(&mut self, job_id: &str) {
        let id = self.hasher.hash_one(job_id);
        if self.misses.remove(&id).is_some() {
            self.order.retain(|known| *known != id);
        }
    }

    /// Notes that the server did not know it. This counts over all calls, so that a caller who waits in short slices also
    /// gets an end.
    pub(super) fn miss(&mut self, job_id: &str) -> Missing {
        match self.misses.get_mut(&self.hasher.hash_one(job_id)) {
            None => Missing::NotFound,
            Some(misses) if *misses < MISSES_MAX => {
                *misses += 1;
                Missing::NotYet(*misses - 1)
            }
            Some(_) => Missing::Lost,
        }
    }

    fn misses_of(&mut self, id: u64) -> &mut usize {
        if !self.misses.contains_key(&id) {
            if self.order.len() >= IDS_MAX
                && let Some(first) = self.order.pop_front()
            {
                self.misses.remove(&first);
            }
            self.order.push_back(id);
        }
        self.misses.entry(id).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_lost_at_once_after_it_was_shown_and_after_some_misses_otherwise() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.miss("a"), Missing::NotFound);
        jobs.accept("a");
        for misses in 0..MISSES_MAX {
            assert_eq!(jobs.miss("a"), Missing::NotYet(misses));
            jobs.accept("a");
        }
        assert_eq!(jobs.miss("a"), Missing::Lost);
        jobs.show("b");
        jobs.accept("b");
        assert_eq!(jobs.miss("b"), Missing::Lost);
        jobs.forget("b");
        assert_eq!(jobs.miss("b"), Missing::NotFound);
        assert_eq!(jobs.order.len(), jobs.misses.len());
    }

    #[test]
    fn the_oldest_jobs_are_removed_at_the_limit() {
        let mut jobs = Jobs::default();
        (0..=IDS_MAX).for_each(|number| jobs.show(&number.to_string()));
        assert_eq!((jobs.misses.len(), jobs.order.len()), (IDS_MAX, IDS_MAX));
        assert_eq!((jobs.miss("0"), jobs.miss("1")), (Missing::NotFound, Missing::Lost));
    }
}
