// SPDX-License-Identifier: MIT OR Apache-2.0
//! The owners of jobs. All owners on this side use one key of the server: without this table, a server in front of it
//! would show the jobs of one of its keys to another.

use std::collections::{HashMap, VecDeque};
use unsandbox_protocol::Owner;

/// The most jobs that are kept for one owner. The oldest is removed for a further one, so that the jobs of one owner never
/// displace those of another.
const JOBS_OF_OWNER_MAX: usize = 10_000;

/// The jobs that owners with a name have submitted. All others are those of the nameless owner, who has the key.
#[derive(Debug, Default)]
pub(super) struct Owners {
    jobs: HashMap<String, Owner>,
    order: HashMap<Owner, VecDeque<String>>,
}

impl Owners {
    /// Records that the owner has submitted this job.
    pub(super) fn note(&mut self, owner: &Owner, job_id: &str) {
        if job_id.is_empty() || self.owns(owner, job_id) {
            return;
        }
        if *owner == Owner::default() {
            self.jobs.remove(job_id);
            return;
        }
        self.jobs.insert(job_id.to_string(), owner.clone());
        let order = self.order.entry(owner.clone()).or_default();
        order.push_back(job_id.to_string());
        if order.len() > JOBS_OF_OWNER_MAX
            && let Some(first) = order.pop_front()
            // A server that was replaced may have given the id to another owner since.
            && self.jobs.get(&first) == Some(owner)
        {
            self.jobs.remove(&first);
        }
    }

    /// Whether an owner with a name has submitted jobs.
    pub(super) fn has_names(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(super) fn owns(&self, owner: &Owner, job_id: &str) -> bool {
        match self.jobs.get(job_id) {
            Some(known) => known == owner,
            None => *owner == Owner::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner(name.to_string())
    }

    #[test]
    fn a_job_is_its_owners_and_an_unknown_one_is_the_keys() {
        let (mut owners, nobody) = (Owners::default(), Owner::default());
        owners.note(&owner("a"), "1");
        owners.note(&nobody, "2");
        let shown = |id| [&owner("a"), &owner("b"), &nobody].map(|owner| owners.owns(owner, id));
        assert_eq!(shown("1"), [true, false, false]);
        assert_eq!(shown("2"), [false, false, true]);
        assert_eq!(shown("3"), [false, false, true]);
        owners.note(&owner("b"), "1");
        assert!(owners.owns(&owner("b"), "1") && !owners.owns(&owner("a"), "1"));
        owners.note(&nobody, "1");
        assert!(owners.owns(&nobody, "1"));
    }

    #[test]
    fn many_jobs_of_one_owner_push_out_only_its_own() {
        let mut owners = Owners::default();
        owners.note(&owner("a"), "first");
        (0..=JOBS_OF_OWNER_MAX).for_each(|number| owners.note(&owner("b"), &number.to_string()));
        assert!(owners.owns(&owner("a"), "first"));
        assert!(!owners.owns(&owner("b"), "0") && owners.owns(&owner("b"), "1"));
        assert_eq!(owners.jobs.len(), JOBS_OF_OWNER_MAX + 1);
    }
}
