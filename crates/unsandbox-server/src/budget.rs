// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for request bodies and for replies. Each may be large. All of them together are bounded, and one party
//! gets only a share of the bound. A body or reply that does not fit waits for a while; meanwhile the party that
//! has the most memory loses its oldest body or reply. The limits of tower-http are for one body each.

use crate::connections::{Exchange, Handle};
use crate::party::Party;
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use unsandbox_protocol::share::{largest_share, within_share};
use unsandbox_protocol::sync::lock;

/// Pause before the next eviction, if the last one has not freed enough memory.
const EVICT_AGAIN: Duration = Duration::from_millis(250);

/// The memory that all requests share.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    bytes: usize,
    /// How long a body or a reply may wait for its memory.
    timeout: Duration,
    /// Memory held for less than this is not taken for another party.
    safe: Duration,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Default)]
struct Used {
    reservations: u64,
    bytes: usize,
    /// Bytes of all parties without a verified key: against a key they count as one party.
    unverified: usize,
    /// Only parties that use some of it.
    parties: HashMap<Party, Holder>,
}

#[derive(Default)]
struct Holder {
    bytes: usize,
    /// The connections that use the memory, the oldest first.
    connections: BTreeMap<u64, (Instant, Handle)>,
}

/// Some bytes of a budget; released when dropped.
pub(crate) struct Reservation {
    budget: Budget,
    connection: Handle,
    party: Party,
    number: u64,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize, timeout: Duration, safe: Duration) -> Budget {
        let (used, freed) = (Mutex::default(), Notify::new());
        Budget(Arc::new(Inner { bytes, timeout, safe, used, freed }))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        lock(&self.0.used)
    }

    /// The bytes that are reserved now.
    pub(crate) fn in_use(&self) -> usize {
        self.used().bytes
    }

    /// A reservation of no bytes, for the party of an exchange.
    pub(crate) fn reserve(&self, exchange: &Exchange) -> Reservation {
        let mut used = self.used();
        used.reservations += 1;
        Reservation {
            budget: self.clone(),
            connection: exchange.handle().clone(),
            party: exchange.party(),
            number: used.reservations,
            bytes: 0,
        }
    }

    /// The most that a party can have.
    fn share(&self) -> usize {
        largest_share(self.0.bytes as u64) as usize
    }
}

impl Used {
    /// The bytes of a party.
    fn held(&self, party: &Party) -> usize {
        self.parties.get(party).map_or(0, |held| held.bytes)
    }

    /// The connection to evict when `party` wants `more` bytes, removed from its list: the oldest of the party
    /// that has the most. `None` if no party has more than `party` would have with them. Parties whose
    /// connections are all evicted already are skipped.
    fn victim(&mut self, party: &Party, more: usize, safe: Duration) -> Option<Handle> {
        let unverified = self.unverified + if party.is_verified() { 0 } else { more };
        let rank =
            |party: &Party, bytes| (if party.is_verified() { bytes } else { unverified }, bytes);
        let mine = rank(party, self.held(party) + more);
        let others = self.parties.iter_mut().filter(|(other, _)| *other != party);
        let (rank, held) = others
            .filter(|(_, held)| !held.connections.is_empty())
            .map(|(other, held)| (rank(other, held.bytes), held))
            .max_by_key(|(rank, _)| *rank)?;
        let oldest = held.connections.first_entry().filter(|_| rank > mine)?;
        (oldest.get().0.elapsed() >= safe).then(|| oldest.remove().1)
    }
}

impl Reservation {
    /// The bytes of its budget.
    pub(crate) fn limit(&self) -> usize {
        self.budget.0.bytes
    }

    /// Makes the reservation at least `bytes` large, as soon as they are free and within the party's share; false
    /// if that does not happen in time. A size above the share counts as the whole share.
    pub(crate) async fn enlarge(&mut self, bytes: usize) -> bool {
        let bytes = bytes.min(self.budget.share());
        if self.try_enlarge(bytes) {
            return true;
        }
        let budget = self.budget.clone();
        let enlarged = async {
            loop {
                let mut freed = pin!(budget.0.freed.notified());
                // Registered before the check, so that memory that is freed between the two is not missed.
                freed.as_mut().enable();
                if self.try_enlarge(bytes) {
                    return;
                }
                let more = bytes.saturating_sub(self.bytes);
                let victim = budget.used().victim(&self.party, more, budget.0.safe);
                if let Some(connection) = victim {
                    connection.evict();
                }
                let _ = tokio::time::timeout(EVICT_AGAIN, freed).await;
            }
        };
        tokio::time::timeout(budget.0.timeout, enlarged).await.is_ok()
    }

    fn try_enlarge(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let mut used = self.budget.used();
        let mine = used.held(&self.party) + more;
        let Some(free) = self.budget.0.bytes.checked_sub(used.bytes + more) else { return false };
        if !within_share(mine as u64, free as u64) {
            return false;
        }
        used.bytes += more;
        used.unverified += if self.party.is_verified() { 0 } else { more };
        let held = used.parties.entry(self.party.clone()).or_default();
        held.bytes = mine;
        if self.bytes == 0 {
            held.connections.insert(self.number, (Instant::now(), self.connection.clone()));
        }
        self.bytes += more;
        true
    }

    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes == 0 {
            return;
        }
        let mut used = self.budget.used();
        used.bytes -= bytes;
        used.unverified -= if self.party.is_verified() { 0 } else { bytes };
        if let Some(held) = used.parties.get_mut(&self.party) {
            held.bytes -= bytes;
            held.connections.remove(&self.number);
            if held.bytes == 0 {
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
impl Reservation {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
