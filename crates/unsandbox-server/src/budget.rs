// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for request bodies and for replies: each may be large, and all of them together must not take the
//! machine's memory, nor those of one party all that is meant for them. A body that does not fit is refused at
//! once, a reply after a while.

use crate::party::{Party, within_share};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What all requests share.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: usize,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    bytes: usize,
    /// Only parties that use some of it.
    parties: HashMap<Party, usize>,
}

/// Some bytes of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    party: Party,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Budget {
        Budget(Arc::new(Inner { bytes, used: Mutex::default(), freed: Notify::new() }))
    }

    pub(crate) fn nothing(&self, party: Party) -> Reservation {
        Reservation { budget: self.clone(), party, bytes: 0 }
    }

    /// `bytes` for a party, once they are free and within its share; `None` if they are not in time. What is
    /// larger than the share of a party alone counts as much as that.
    pub(crate) async fn wait(
        &self,
        party: Party,
        bytes: usize,
        patience: Duration,
    ) -> Option<Reservation> {
        let bytes = bytes.min(self.0.bytes - self.0.bytes.div_ceil(4));
        let mut reservation = self.nothing(party);
        let reserved = async {
            loop {
                let mut freed = pin!(self.0.freed.notified());
                // Registered before the look, so that nothing that is freed between the two is missed.
                freed.as_mut().enable();
                if reservation.enlarge(bytes) {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(patience, reserved).await.ok().map(|()| reservation)
    }
}

impl Reservation {
    /// Makes it at least `bytes` large; false where there is no room for that.
    pub(crate) fn enlarge(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let mut used = self.budget.0.used.lock().expect("no panic under this lock");
        let mine = used.parties.get(&self.party).copied().unwrap_or(0) + more;
        let Some(free) = self.budget.0.bytes.checked_sub(used.bytes + more) else { return false };
        if !within_share(mine, free) {
            return false;
        }
        used.bytes += more;
        used.parties.insert(self.party.clone(), mine);
        self.bytes += more;
        true
    }

    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes == 0 {
            return;
        }
        let mut used = self.budget.0.used.lock().expect("no panic under this lock");
        used.bytes -= bytes;
        if let Some(mine) = used.parties.get_mut(&self.party) {
            *mine -= bytes;
            if *mine == 0 {
                used.parties.remove(&self.party);
            }
        }
        drop(used);
        self.budget.0.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::Owner;

    fn party(name: &str) -> Party {
        Party::Key(Owner(name.to_string()))
    }

    #[test]
    fn a_party_has_at_most_three_times_what_stays_free() {
        let budget = Budget::new(1000);
        let [mut a, mut other] = [(); 2].map(|()| budget.nothing(party("a")));
        assert!(a.enlarge(1) && a.enlarge(500));
        assert!(other.enlarge(250), "750 of 1000");
        assert!(!other.enlarge(251));
        let mut b = budget.nothing(party("b"));
        assert!(!b.enlarge(188) && b.enlarge(187));
        let mut c = budget.nothing(party("c"));
        assert!(c.enlarge(47), "there is something for everyone");
        drop(a);
        assert!(b.enlarge(500));
        drop((b, c, other));
        assert!(budget.0.used.lock().unwrap().parties.is_empty());
        assert!(budget.nothing(party("a")).enlarge(750));
    }

    #[test]
    fn one_that_waits_for_much_keeps_nobody_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let budget = Budget::new(1000);
            let long = Duration::from_secs(20);
            let held = budget.wait(party("a"), 2000, long).await.unwrap();
            assert_eq!(held.bytes, 750, "what is too large counts as a whole share");
            let mut large = pin!(budget.wait(party("b"), 700, long));
            std::future::poll_fn(|context| {
                assert!(large.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            budget.wait(party("c"), 100, long).await.unwrap();
            assert!(budget.wait(party("a"), 1, Duration::ZERO).await.is_none());
            drop(held);
            large.await.unwrap();
        });
    }
}
