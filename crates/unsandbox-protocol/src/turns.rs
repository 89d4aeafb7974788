// SPDX-License-Identifier: MIT OR Apache-2.0
//! A queue that is fair between the owners of its items: it gives by turns, one of each owner, so that the first of
//! one owner never waits for more than one of each other owner.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items that wait, by their owner. The items of one owner keep their order.
#[derive(Debug)]
pub struct Turns<K, T> {
    waiting: HashMap<K, VecDeque<T>>,
    /// Each owner that has something waiting, the next one first.
    order: VecDeque<K>,
    /// The first owner, while its turn goes on, and how many items of it are left in that.
    turn: Option<(K, u32)>,
    len: usize,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Turns { waiting: HashMap::new(), order: VecDeque::new(), turn: None, len: 0 }
    }
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    /// Adds an item behind those of its owner.
    pub fn push(&mut self, owner: &K, item: T) {
        self.of(owner).push_back(item);
        self.len += 1;
    }

    /// Puts an item back that was taken, as the next one.
    pub fn put_back(&mut self, owner: &K, item: T) {
        self.of(owner).push_front(item);
        self.len += 1;
        if let Some(at) = self.order.iter().position(|it| it == owner) {
            let owner = self.order.remove(at).expect("it was found there");
            self.order.push_front(owner);
        }
    }

    fn of(&mut self, owner: &K) -> &mut VecDeque<T> {
        if !self.waiting.contains_key(owner) {
            self.order.push_back(owner.clone());
        }
        self.waiting.entry(owner.clone()).or_default()
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
        let mut at = 0;
        while at < self.order.len() {
            if !may(&self.order[at]) {
                at += 1;
                continue;
            }
            let owner = self.order.remove(at)?;
            let items = self.waiting.get_mut(&owner)?;
            let before = items.len();
            let item = std::iter::from_fn(|| items.pop_front()).find(&wanted);
            self.len -= before - items.len();
            let is_empty = items.is_empty();
            let goes_on = item.is_some() && self.is_in_turn(&owner, &weight);
            if is_empty {
                self.waiting.remove(&owner);
            } else if goes_on {
                self.order.push_front(owner.clone());
            } else {
                self.order.push_back(owner.clone());
            }
            if let Some(item) = item {
                return Some((owner, item));
            }
        }
        None
    }

    /// Counts an item of an owner; whether its turn goes on after that.
    fn is_in_turn(&mut self, owner: &K, weight: impl Fn(&K) -> u32) -> bool {
        let left = match self.turn.take() {
            Some((first, left)) if first == *owner => left,
            _ => weight(owner).max(1),
        };
        if left > 1 {
            self.turn = Some((owner.clone(), left - 1));
        }
        left > 1
    }

    /// Removes an owner's items that are not wanted any more.
    pub fn retain(&mut self, owner: &K, wanted: impl FnMut(&T) -> bool) {
        let Some(items) = self.waiting.get_mut(owner) else { return };
        let before = items.len();
        items.retain(wanted);
        self.len -= before - items.len();
        if items.is_empty() {
            self.waiting.remove(owner);
            self.order.retain(|it| it != owner);
        }
    }

    /// The items of all owners.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The items of one owner.
    pub fn len_of(&self, owner: &K) -> usize {
        self.waiting.get(owner).map_or(0, VecDeque::len)
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
        let other = turns.pop_of(|owner| *owner == 'b', |_| true, weight);
        assert_eq!(other, Some(('b', 1)), "the first may not have more now");
    }

    #[test]
    fn items_that_are_not_wanted_are_dropped_and_cost_no_turn() {
        let mut turns = filled(&[('a', 1), ('a', 2), ('a', 3), ('b', 1), ('c', 1)]);
        assert_eq!(turns.pop_of(|_| true, |item| *item > 1, |_| 1), Some(('a', 2)));
        assert_eq!(turns.pop_of(|_| true, |item| *item > 1, |_| 1), Some(('a', 3)));
        assert_eq!((turns.len(), turns.pop()), (0, None));
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
