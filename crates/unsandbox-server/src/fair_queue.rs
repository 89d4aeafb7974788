// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue that is fair between parties by the time that they use (start-time fair queueing): the next item is of the
//! party that has used least. After a pause a party counts as having used a little less than those that always ask,
//! however long it was away: it is served soon, and saves nothing up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Parties without items are forgotten when there are so many parties, or twice as many as were left the last time.
const REMEMBERED: usize = 1024;

/// So much less time than those that always ask a party has used after a pause, so that it has its answer before those
/// have another turn.
const CREDIT: Duration = Duration::from_millis(20);
/// So many parties have the whole credit. More of them share as much, so that ever new parties keep nobody waiting for long.
const WHOLE_CREDITS: u64 = 16;

/// A virtual time, in nanoseconds.
type Used = u64;

/// Items that wait, by their party. The items of one party keep their order.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    parties: HashMap<K, Line<T>>,
    /// The parties with items: the one that has used least first, of equal ones the one that waits longest.
    order: BTreeMap<(Used, u64), K>,
    /// What those that always ask have used.
    now: Used,
    /// What a party counts as having used at least.
    least: Used,
    serial: u64,
    /// The number of parties at which some are forgotten.
    forget_at: usize,
}

/// The items of one party.
#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    used: Used,
    /// With `used`, its place in the order.
    serial: u64,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        FairQueue {
            parties: HashMap::new(),
            order: BTreeMap::new(),
            now: nanoseconds(CREDIT),
            least: 0,
            serial: 0,
            forget_at: REMEMBERED,
        }
    }
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Adds an item behind those of its party.
    pub(crate) fn push(&mut self, party: &K, item: T) {
        self.serial += 1;
        let serial = self.serial;
        self.begin(party);
        let line = self.line(party);
        line.items.push_back(item);
        if line.items.len() == 1 {
            line.serial = serial;
            let place = (line.used, serial);
            self.order.insert(place, party.clone());
        }
    }

    /// Takes the first wanted item of the first party that may have one now. Items before it that are not wanted any more
    /// are dropped.
    pub(crate) fn pop_of(
        &mut self,
        may: impl Fn(&K) -> bool,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<(K, T)> {
        loop {
            let place = *self.order.iter().find(|(_, party)| may(party))?.0;
            let party = self.order.remove(&place)?;
            let line = self.parties.get_mut(&party)?;
            let item = std::iter::from_fn(|| line.items.pop_front()).find(&wanted);
            if !line.items.is_empty() {
                // Behind those that have used as much.
                self.serial += 1;
                line.serial = self.serial;
                self.order.insert((line.used, line.serial), party.clone());
            }
            if let Some(item) = item {
                self.now = self.now.max(line.used);
                return Some((party, item));
            }
        }
    }

    /// A party begins to use time.
    pub(crate) fn begin(&mut self, party: &K) {
        let least = self.least;
        let line = self.line(party);
        if line.items.is_empty() {
            line.used = line.used.max(least);
        }
    }

    /// The line of a party; a new one, if there is none or it was forgotten.
    fn line(&mut self, party: &K) -> &mut Line<T> {
        if !self.parties.contains_key(party) {
            self.parties.insert(party.clone(), Line::new(self.least));
        }
        self.parties.get_mut(party).expect("it is there")
    }

    /// Notes what a party has used since it began.
    pub(crate) fn charge(&mut self, party: &K, used: Duration) {
        let used = nanoseconds(used);
        let line = self.line(party);
        let before = (line.used, line.serial);
        line.used = line.used.saturating_add(used);
        let after = (line.used, line.serial);
        if let Some(party) = self.order.remove(&before) {
            self.order.insert(after, party);
        }
        let waiting = self.order.len() as u64;
        self.now = self.now.saturating_add(used / (waiting + 1));
        let credit = nanoseconds(CREDIT) * WHOLE_CREDITS / waiting.max(WHOLE_CREDITS);
        self.least = self.least.max(self.now.saturating_sub(credit));
        self.forget();
    }

    /// Forgets parties that count as if they were new.
    fn forget(&mut self) {
        if self.parties.len() >= self.forget_at {
            let least = self.least;
            self.parties.retain(|_, line| !line.items.is_empty() || line.used > least);
            self.forget_at = REMEMBERED.max(2 * self.parties.len());
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl<T> Line<T> {
    fn new(used: Used) -> Line<T> {
        Line { items: VecDeque::new(), used, serial: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn filled(items: &[(char, u32)]) -> FairQueue<char, u32> {
        let mut queue = FairQueue::default();
        items.iter().for_each(|(party, item)| queue.push(party, *item));
        queue
    }

    /// The next item, for which its party uses so much.
    fn serve(queue: &mut FairQueue<char, u32>, cost: Duration) -> Option<(char, u32)> {
        let next = queue.pop_of(|_| true, |_| true)?;
        queue.charge(&next.0, cost);
        Some(next)
    }

    #[test]
    fn parties_take_turns_and_each_keeps_its_order() {
        let mut queue = filled(&[('a', 1), ('a', 2), ('a', 3), ('b', 1), ('c', 1), ('c', 2)]);
        let order: Vec<_> = std::iter::from_fn(|| serve(&mut queue, MS)).collect();
        assert_eq!(order, [('a', 1), ('b', 1), ('c', 1), ('a', 2), ('c', 2), ('a', 3)]);
    }

    #[test]
    fn two_places_that_are_free_at_once_are_for_two_parties() {
        let mut queue = filled(&[('a', 1), ('a', 2), ('b', 1)]);
        let mut next = || queue.pop_of(|_| true, |_| true);
        assert_eq!([next(), next(), next()], [Some(('a', 1)), Some(('b', 1)), Some(('a', 2))]);
    }

    #[test]
    fn one_that_uses_little_has_more_turns() {
        let many: Vec<_> =
            "ab".chars().flat_map(|party| (0..50).map(move |n| (party, n))).collect();
        let mut queue = filled(&many);
        let mut turns = HashMap::new();
        for _ in 0..44 {
            let next = queue.pop_of(|_| true, |_| true).unwrap().0;
            queue.charge(&next, if next == 'a' { 10 * MS } else { MS });
            *turns.entry(next).or_insert(0) += 1;
        }
        assert_eq!((turns[&'a'], turns[&'b']), (4, 40));
    }

    #[test]
    fn one_that_comes_waits_for_nobody_and_saves_nothing_up() {
        let mut queue = filled(&[('a', 1), ('a', 2), ('a', 3), ('a', 4)]);
        (0..2).for_each(|_| _ = serve(&mut queue, 10 * MS));
        queue.push(&'b', 1);
        queue.push(&'b', 2);
        queue.push(&'b', 3);
        let order: Vec<_> = std::iter::from_fn(|| serve(&mut queue, 10 * MS)).collect();
        assert_eq!(order, [('b', 1), ('a', 3), ('b', 2), ('a', 4), ('b', 3)]);
    }

    #[test]
    fn one_that_was_served_does_not_wait_for_ever_new_ones() {
        let mut queue = FairQueue::default();
        let (old, mut newcomer, mut waits) = (u32::MAX, 0, 0);
        queue.push(&old, 0);
        for _ in 0..20_000 {
            (0..2).for_each(|one| queue.push(&(newcomer + one), 1));
            newcomer += 2;
            let (next, _) = queue.pop_of(|_| true, |_| true).unwrap();
            queue.charge(&next, MS);
            waits += 1;
            if next == old {
                waits = 0;
                queue.push(&old, 0);
            }
            assert!(waits <= queue.order.len() + 2, "{waits} of {}", queue.order.len());
        }
    }

    #[test]
    fn ever_new_parties_keep_one_that_always_asks_waiting_for_little() {
        const POLL: Duration = Duration::from_micros(100);
        for crowd in [50, 1000] {
            let mut queue = FairQueue::default();
            let (old, mut newcomer, mut waits) = (u32::MAX, 0, Duration::ZERO);
            (0..2).for_each(|_| queue.push(&old, 0));
            for _ in 0..1000 {
                queue.pop_of(|_| true, |_| true).unwrap();
                queue.charge(&old, POLL);
                queue.push(&old, 0);
            }
            for _ in 0..20_000 {
                while queue.order.len() < crowd {
                    queue.push(&newcomer, 0);
                    newcomer += 1;
                }
                let (next, _) = queue.pop_of(|_| true, |_| true).unwrap();
                queue.charge(&next, POLL);
                waits += POLL;
                if next == old {
                    waits = Duration::ZERO;
                    queue.push(&old, 0);
                }
                assert!(
                    waits <= 2 * POLL * crowd as u32 + 2 * WHOLE_CREDITS as u32 * CREDIT,
                    "{waits:?} of {crowd}"
                );
            }
        }
    }

    #[test]
    fn what_others_use_meanwhile_is_not_charged() {
        let mut queue = filled(&[('a', 1), ('a', 2), ('b', 1)]);
        queue.begin(&'c');
        (0..20).for_each(|_| {
            queue.push(&'a', 0);
            serve(&mut queue, 10 * MS);
        });
        queue.charge(&'c', MS);
        queue.push(&'c', 1);
        assert_eq!(queue.pop_of(|_| true, |_| true), Some(('c', 1)));
    }

    #[test]
    fn one_that_may_have_none_is_passed_over_and_items_that_are_not_wanted_are_dropped() {
        let mut queue = filled(&[('a', 1), ('a', 2), ('b', 1), ('b', 2)]);
        assert_eq!(queue.pop_of(|party| *party != 'a', |item| *item > 1), Some(('b', 2)));
        assert_eq!(queue.pop_of(|_| false, |_| true), None);
        assert_eq!(queue.pop_of(|_| true, |_| true), Some(('a', 1)));
        assert_eq!(queue.pop_of(|_| true, |item| *item > 2), None);
        assert!(queue.order.is_empty());
    }

    #[test]
    fn parties_that_have_used_no_more_than_others_are_forgotten() {
        let mut queue = FairQueue::default();
        for party in 0..5_000 {
            queue.push(&party, ());
            queue.pop_of(|_| true, |_| true);
            queue.charge(&party, MS);
        }
        assert!(queue.parties.len() <= REMEMBERED, "{}", queue.parties.len());
    }
}
