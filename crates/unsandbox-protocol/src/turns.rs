// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue that is fair between the owners of its items: it gives by turns, one of each owner, so that the first of
//! one owner never waits for more than one of each other owner.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Items that wait, by their owner. The items of one owner keep their order.
#[derive(Debug)]
pub struct Turns<K, T> {
    waiting: HashMap<K, Line<T>>,
    /// Each owner that has something waiting, the next one first.
    order: VecDeque<K>,
    len: usize,
    newcomers: Option<Newcomers<K>>,
}

/// Owners that had no turn in this round. They come first, so that one that asks seldom waits for none of those that
/// always ask, however many they are; but after so many turns of theirs one of the others has its turn, so that it does
/// not wait for ever new ones.
#[derive(Debug)]
struct Newcomers<K> {
    served: HashSet<K>,
    /// So many are at the front of the order.
    len: usize,
    /// Their turns in a row.
    in_a_row: usize,
}

/// The most turns of newcomers in a row, while others wait.
const IN_A_ROW_MAX: usize = 8;

/// Owners that are remembered as served beside those that wait, twice over.
const SERVED_MAX: usize = 1024;

/// The items of one owner.
#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    /// How many are left in its turn, once that has begun.
    left: Option<u32>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Line { items: VecDeque::new(), left: None }
    }
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Turns { waiting: HashMap::new(), order: VecDeque::new(), len: 0, newcomers: None }
    }
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Gives an owner that had no turn in this round its turn before those whose next round it would be, eight times in a
    /// row at most. Weights are not for this.
    pub fn newcomers_first() -> Self {
        let newcomers = Newcomers { served: HashSet::new(), len: 0, in_a_row: 0 };
        Turns { newcomers: Some(newcomers), ..Turns::default() }
    }

    /// Adds an item behind those of its owner.
    pub fn push(&mut self, owner: &K, item: T) {
        self.of(owner).push_back(item);
        self.len += 1;
    }

    /// Puts an item back that was taken, as the next one.
    pub fn put_back(&mut self, owner: &K, item: T) {
        self.of(owner).push_front(item);
        self.len += 1;
        if let Some(at) = self.order.iter().position(|it| it == owner)
            && let Some(owner) = self.remove(at)
        {
            self.order.push_front(owner);
            if let Some(newcomers) = &mut self.newcomers {
                newcomers.len += 1;
            }
        }
    }

    fn of(&mut self, owner: &K) -> &mut VecDeque<T> {
        if !self.waiting.contains_key(owner) {
            match self.newcomers.as_mut().filter(|it| !it.served.contains(owner)) {
                Some(newcomers) => {
                    self.order.insert(newcomers.len, owner.clone());
                    newcomers.len += 1;
                }
                None => self.order.push_back(owner.clone()),
            }
        }
        &mut self.waiting.entry(owner.clone()).or_default().items
    }

    /// Takes the first item of the owner whose turn it is.
    pub fn pop(&mut self) -> Option<(K, T)> {
        self.pop_of(|_| true, |_| true, |_| 1)
    }

    /// Takes the first wanted item of the first owner that may have one now. Items before it that are not wanted any more
    /// are dropped, and cost their owner no turn. A turn has as many items as the owner's weight.
    pub fn pop_of(
        &mut self,
        may: impl Fn(&K) -> bool,
        wanted: impl Fn(&T) -> bool,
        weight: impl Fn(&K) -> u32,
    ) -> Option<(K, T)> {
        loop {
            let others = self.first_of_others();
            let mut places = (others..self.order.len()).chain(0..others);
            let at = places.find(|at| may(&self.order[*at]))?;
            let is_newcomer = self.newcomers.as_ref().is_some_and(|it| at < it.len);
            let owner = self.remove(at)?;
            let line = self.waiting.get_mut(&owner)?;
            let before = line.items.len();
            let item = std::iter::from_fn(|| line.items.pop_front()).find(&wanted);
            self.len -= before - line.items.len();
            // The turn of an owner that is passed over goes on when it may have more.
            let left = line.left.unwrap_or_else(|| weight(&owner)).saturating_sub(1);
            line.left = Some(left).filter(|left| *left > 0);
            match (line.items.is_empty(), line.left) {
                (true, _) => _ = self.waiting.remove(&owner),
                (false, Some(_)) => self.order.push_front(owner.clone()),
                (false, None) => self.order.push_back(owner.clone()),
            }
            if let Some(item) = item {
                self.served(&owner, is_newcomer);
                return Some((owner, item));
            }
        }
    }

    /// The place of the first one behind the newcomers, where it is not their turn; else 0.
    fn first_of_others(&self) -> usize {
        let newcomers = self.newcomers.as_ref().filter(|it| it.in_a_row >= IN_A_ROW_MAX);
        newcomers.map_or(0, |it| it.len)
    }

    /// Notes that an owner had its turn.
    fn served(&mut self, owner: &K, is_newcomer: bool) {
        let waiting = self.order.len();
        let Some(newcomers) = &mut self.newcomers else { return };
        newcomers.in_a_row = if is_newcomer { newcomers.in_a_row + 1 } else { 0 };
        // A round has ended when one has its second turn.
        let has_ended = !newcomers.served.insert(owner.clone());
        if has_ended || newcomers.served.len() > 2 * waiting + SERVED_MAX {
            newcomers.served = HashSet::from([owner.clone()]);
        }
    }

    /// Removes an owner from the order.
    fn remove(&mut self, at: usize) -> Option<K> {
        if let Some(newcomers) = self.newcomers.as_mut().filter(|it| at < it.len) {
            newcomers.len -= 1;
        }
        self.order.remove(at)
    }

    /// Takes the first item of the owner that has the most.
    pub fn pop_of_longest(&mut self) -> Option<(K, T)> {
        // Of several, the one that has waited least for its turn.
        let longest = self.order.iter().max_by_key(|owner| self.waiting[*owner].items.len())?;
        let owner = longest.clone();
        let item = self.waiting.get_mut(&owner)?.items.pop_front()?;
        self.len -= 1;
        self.retain(&owner, |_| true);
        Some((owner, item))
    }

    /// Removes an owner's items that are not wanted any more.
    pub fn retain(&mut self, owner: &K, wanted: impl FnMut(&T) -> bool) {
        let Some(line) = self.waiting.get_mut(owner) else { return };
        let before = line.items.len();
        line.items.retain(wanted);
        self.len -= before - line.items.len();
        if line.items.is_empty() {
            self.waiting.remove(owner);
            if let Some(at) = self.order.iter().position(|it| it == owner) {
                self.remove(at);
            }
        }
    }

    /// The items of all owners.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The items of one owner.
    pub fn len_of(&self, owner: &K) -> usize {
        self.waiting.get(owner).map_or(0, |line| line.items.len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut turns: Turns<char, u32>) -> String {
        let popped = std::iter::from_fn(|| turns.pop());
        popped.map(|(owner, item)| format!("{owner}{item}")).collect::<Vec<_>>().join(" ")
    }

    fn filled(items: &[(char, u32)]) -> Turns<char, u32> {
        let mut turns = Turns::default();
        items.iter().for_each(|(owner, item)| turns.push(owner, *item));
        turns
    }

    #[test]
    fn owners_take_turns_and_each_keeps_its_order() {
        let turns = filled(&[('a', 1), ('a', 2), ('a', 3), ('b', 1), ('c', 1), ('c', 2)]);
        assert_eq!((turns.len(), turns.len_of(&'a'), turns.len_of(&'x')), (6, 3, 0));
        assert_eq!(drained(turns), "a1 b1 c1 a2 c2 a3");
    }

    #[test]
    fn what_is_put_back_is_the_next() {
        let mut turns = filled(&[('a', 1), ('a', 2), ('b', 1)]);
        let (owner, item) = turns.pop().unwrap();
        turns.put_back(&owner, item);
        assert_eq!(drained(turns), "a1 b1 a2");
        let mut turns = filled(&[('a', 1), ('b', 1)]);
        let (owner, item) = turns.pop().unwrap();
        turns.put_back(&owner, item);
        assert_eq!(drained(turns), "a1 b1", "its owner had nothing else");
    }

    #[test]
    fn an_owner_that_may_not_have_one_is_passed_over_and_keeps_its_turn() {
        let mut turns = filled(&[('a', 1), ('a', 2), ('b', 1), ('b', 2)]);
        assert_eq!(turns.pop_of(|owner| *owner != 'a', |_| true, |_| 1), Some(('b', 1)));
        assert_eq!(turns.pop_of(|_| false, |_| true, |_| 1), None);
        assert_eq!(drained(turns), "a1 b2 a2");
    }

    #[test]
    fn a_turn_has_as_many_items_as_its_owner_has_weight() {
        let all: Vec<_> = "ab".chars().flat_map(|owner| (1..=5).map(move |n| (owner, n))).collect();
        let mut turns = filled(&all);
        let weight = |owner: &char| if *owner == 'a' { 2 } else { 1 };
        let popped = std::iter::from_fn(|| turns.pop_of(|_| true, |_| true, weight));
        let popped: Vec<String> = popped.map(|(owner, item)| format!("{owner}{item}")).collect();
        assert_eq!(popped.join(" "), "a1 a2 b1 a3 a4 b2 a5 b3 b4 b5");
        let mut turns = filled(&[('a', 1), ('a', 2), ('b', 1), ('b', 2)]);
        assert_eq!(turns.pop_of(|_| true, |_| true, weight), Some(('a', 1)));
        let other = |turns: &mut Turns<char, u32>| {
            turns.pop_of(|owner| *owner == 'b', |_| true, weight).unwrap()
        };
        assert_eq!((other(&mut turns), other(&mut turns)), (('b', 1), ('b', 2)));
        turns.push(&'b', 3);
        turns.push(&'a', 3);
        // Its turn goes on where it was.
        let next = std::iter::from_fn(|| turns.pop_of(|_| true, |_| true, weight));
        assert_eq!(next.map(|(_, item)| item).collect::<Vec<_>>(), [2, 3, 3]);
    }

    #[test]
    fn items_that_are_not_wanted_are_dropped_and_cost_no_turn() {
        let mut turns = filled(&[('a', 1), ('a', 2), ('a', 3), ('b', 1), ('c', 1)]);
        assert_eq!(turns.pop_of(|_| true, |item| *item > 1, |_| 1), Some(('a', 2)));
        assert_eq!(turns.pop_of(|_| true, |item| *item > 1, |_| 1), Some(('a', 3)));
        assert_eq!((turns.len(), turns.pop()), (0, None));
    }

    #[test]
    fn newcomers_come_first_once_in_a_round() {
        let mut turns = Turns::newcomers_first();
        ["a1", "a2", "a3", "b1", "b2"].iter().for_each(|it| turns.push(&it.as_bytes()[0], *it));
        let next = |turns: &mut Turns<u8, &'static str>| turns.pop().map(|(_, item)| item);
        assert_eq!([(); 3].map(|()| next(&mut turns)), [Some("a1"), Some("b1"), Some("a2")]);
        // The round of a has begun, and b waits for its own.
        turns.push(&b'c', "c1");
        turns.push(&b'd', "d1");
        assert_eq!([(); 2].map(|()| next(&mut turns)), [Some("c1"), Some("d1")]);
        turns.push(&b'c', "c2");
        assert_eq!([(); 4].map(|()| next(&mut turns)), [Some("b2"), Some("a3"), Some("c2"), None]);
        assert_eq!((turns.len(), turns.waiting.len(), turns.order.len()), (0, 0, 0));
    }

    #[test]
    fn newcomers_have_their_turns_however_many_they_are() {
        let mut turns = Turns::newcomers_first();
        (0..100).for_each(|owner| turns.push(&owner, owner));
        let order: Vec<u32> = std::iter::from_fn(|| turns.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_was_served_does_not_wait_for_ever_new_ones() {
        let mut turns = Turns::newcomers_first();
        let old = u32::MAX;
        turns.push(&old, 0);
        assert_eq!(turns.pop(), Some((old, 0)));
        let (mut newcomer, mut waits) = (0, 0);
        turns.push(&old, 0);
        for _ in 0..20_000 {
            turns.push(&newcomer, 1);
            turns.push(&(newcomer + 1), 1);
            newcomer += 2;
            if turns.pop().is_some_and(|(owner, _)| owner == old) {
                turns.push(&old, 0);
                waits = 0;
            }
            waits += 1;
            assert!(waits <= IN_A_ROW_MAX + 1, "{newcomer}");
        }
        let remembered = turns.newcomers.map_or(0, |newcomers| newcomers.served.len());
        assert!(remembered <= 2 * turns.order.len() + SERVED_MAX, "{remembered}");
    }

    #[test]
    fn the_longest_line_loses_its_first() {
        let mut turns = filled(&[('a', 1), ('b', 1), ('b', 2), ('a', 2), ('b', 3)]);
        assert_eq!(turns.pop_of_longest(), Some(('b', 1)));
        turns.retain(&'a', |_| false);
        assert_eq!(
            [(); 3].map(|()| turns.pop_of_longest()),
            [Some(('b', 2)), Some(('b', 3)), None]
        );
        assert_eq!(drained(turns), "");
    }

    #[test]
    fn removed_items_are_not_counted() {
        let mut turns = filled(&[('a', 1), ('a', 2), ('b', 1)]);
        turns.retain(&'a', |item| *item != 1);
        turns.retain(&'b', |_| false);
        turns.retain(&'x', |_| false);
        assert_eq!((turns.len(), turns.is_empty()), (1, false));
        assert_eq!(drained(turns), "a2");
    }
}
