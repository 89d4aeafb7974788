// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each owner may have of the places for running programs and of the queue. A server knows it from its keys; the
//! backends that queue submissions obey it.

use crate::error::{CONCURRENCY_LIMIT_REACHED, Error, ErrorCode};
use crate::events::Owner;
use std::fmt;

/// What one owner may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Programs at once; `None` for as many as the backend runs.
    pub concurrency: Option<usize>,
    /// How many of the backend's places no other owner gets, whether this one uses them or not.
    pub reserved: usize,
    /// Submissions that may wait for their turn; `None` for the backend's own limit.
    pub queue: Option<usize>,
    /// Submissions that start in one turn of this owner, at least 1.
    pub weight: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Quota { concurrency: None, reserved: 0, queue: None, weight: 1 }
    }
}

impl Quota {
    /// How many more of this owner may run, of `free` places of the backend: those that others have reserved and do not
    /// use (`kept_free`) are not for it, and its own reserved ones are, as long as it runs fewer.
    pub fn places(&self, running: usize, free: usize, kept_free: usize) -> usize {
        let most = self.concurrency.unwrap_or(usize::MAX).saturating_sub(running);
        let own = self.reserved.saturating_sub(running);
        free.saturating_sub(kept_free).max(own.min(free)).min(most)
    }
}

/// The refusal of a submission whose owner has as many in the queue as it may.
pub fn queue_full(most: usize) -> Error {
    let text = match most {
        0 => "as many programs run as this key may run at once, and none may wait; retry after 1 s"
            .to_string(),
        _ => format!("{most} executions wait for their turn, which is the limit; retry after 1 s"),
    };
    Error::new(ErrorCode::RateLimited, text)
        .with_wire(CONCURRENCY_LIMIT_REACHED)
        .with_retry_after_ms(1_000)
}

/// The quotas of all owners. They may change at any time.
pub trait Quotas: Send + Sync + fmt::Debug {
    /// The quota of an owner.
    fn quota(&self, owner: &Owner) -> Quota;

    /// Calls `each` with every owner that has places reserved, and their number.
    fn reservations(&self, each: &mut dyn FnMut(&Owner, usize));
}

/// Everybody has the default quota.
#[derive(Clone, Copy, Debug)]
pub struct NoQuotas;

impl Quotas for NoQuotas {
    fn quota(&self, _: &Owner) -> Quota {
        Quota::default()
    }

    fn reservations(&self, _: &mut dyn FnMut(&Owner, usize)) {}
}

/// The places that are reserved and not used, for each owner that asks: its own are not among them.
#[derive(Debug, Default)]
pub struct KeptFree {
    all: usize,
    of_each: Vec<(Owner, usize)>,
}

impl KeptFree {
    /// With the number of programs that an owner runs now.
    pub fn now(quotas: &dyn Quotas, running: impl Fn(&Owner) -> usize) -> KeptFree {
        let mut kept = KeptFree::default();
        quotas.reservations(&mut |owner, reserved| {
            let unused = reserved.saturating_sub(running(owner));
            if unused > 0 {
                kept.all += unused;
                kept.of_each.push((owner.clone(), unused));
            }
        });
        kept
    }

    /// The places that are kept free for others than this owner.
    pub fn from(&self, owner: &Owner) -> usize {
        let own = self.of_each.iter().find(|(it, _)| it == owner).map_or(0, |(_, unused)| *unused);
        self.all - own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_places_are_for_their_owner_alone() {
        let plain = Quota::default();
        assert_eq!(
            (plain.places(0, 4, 0), plain.places(3, 1, 1), plain.places(0, 4, 1)),
            (4, 0, 3)
        );
        let reserved = Quota { reserved: 2, ..plain };
        assert_eq!((reserved.places(0, 2, 0), reserved.places(2, 1, 1)), (2, 0));
        assert_eq!(reserved.places(0, 1, 1), 1, "its own place, though others keep one too");
        assert_eq!(reserved.places(0, 0, 0), 0);
        let capped = Quota { concurrency: Some(1), reserved: 2, ..plain };
        assert_eq!((capped.places(0, 8, 0), capped.places(1, 7, 0)), (1, 0));
    }

    #[test]
    fn what_is_kept_free_is_what_others_have_reserved_and_do_not_use() {
        #[derive(Debug)]
        struct Two;
        impl Quotas for Two {
            fn quota(&self, _: &Owner) -> Quota {
                Quota::default()
            }
            fn reservations(&self, each: &mut dyn FnMut(&Owner, usize)) {
                each(&Owner("a".into()), 3);
                each(&Owner("b".into()), 1);
            }
        }
        let running = |owner: &Owner| if owner.0 == "a" { 1 } else { 2 };
        let kept = KeptFree::now(&Two, running);
        let from = |name: &str| kept.from(&Owner(name.into()));
        assert_eq!((from("a"), from("b"), from("c")), (0, 2, 2));
    }
}
