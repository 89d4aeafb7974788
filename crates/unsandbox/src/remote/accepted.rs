// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jobs of which a server has told this client. Where it does not know one of them any more, the job
//! is lost; an id that only a caller names is not found.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Beyond this many the first ones are forgotten: an id takes some 30 bytes, whatever its length.
const IDS_MAX: usize = 65_536;
/// How often a job that was just submitted is looked for in vain: it may not be known everywhere yet.
const MISSES_MAX: usize = 5;

/// What it means that a server does not know a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    /// No server ever told of it.
    NotFound,
    /// It was accepted, and not found this many times before.
    NotYet(usize),
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    hasher: RandomState,
    /// How often each was missed; one that was shown is not looked for again.
    misses: HashMap<u64, usize>,
    order: VecDeque<u64>,
}

impl Jobs {
    /// The answer to a submission told of it.
    pub(super) fn accept(&mut self, job_id: &str) {
        let id = self.hasher.hash_one(job_id);
        self.misses_of(id);
    }

    /// The server knew it when it was asked.
    pub(super) fn show(&mut self, job_id: &str) {
        let id = self.hasher.hash_one(job_id);
        *self.misses_of(id) = MISSES_MAX;
    }

    /// The server did not know it. Counted over all calls, so that a caller who waits in short slices comes
    /// to an end too.
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
    fn a_job_is_lost_at_once_after_it_was_shown_and_after_some_looks_otherwise() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.miss("a"), Missing::NotFound);
        jobs.accept("a");
        for looks in 0..MISSES_MAX {
            assert_eq!(jobs.miss("a"), Missing::NotYet(looks));
            jobs.accept("a");
        }
        assert_eq!(jobs.miss("a"), Missing::Lost);
        jobs.show("b");
        jobs.accept("b");
        assert_eq!(jobs.miss("b"), Missing::Lost);
    }

    #[test]
    fn the_first_jobs_are_forgotten() {
        let mut jobs = Jobs::default();
        (0..=IDS_MAX).for_each(|number| jobs.show(&number.to_string()));
        assert_eq!((jobs.misses.len(), jobs.order.len()), (IDS_MAX, IDS_MAX));
        assert_eq!((jobs.miss("0"), jobs.miss("1")), (Missing::NotFound, Missing::Lost));
    }
}
