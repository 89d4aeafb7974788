// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts jobs, all of them and those of each owner.

use std::collections::HashMap;
use unsandbox_protocol::Owner;

#[derive(Debug, Default)]
pub struct Counts {
    all: usize,
    of_each: HashMap<Owner, usize>,
}

impl Counts {
    pub fn add(&mut self, owner: &Owner) {
        self.all += 1;
        *self.of_each.entry(owner.clone()).or_default() += 1;
    }

    pub fn remove(&mut self, owner: &Owner) {
        self.all -= 1;
        if let Some(count) = self.of_each.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.of_each.remove(owner);
            }
        }
    }

    pub fn all(&self) -> usize {
        self.all
    }

    pub fn of(&self, owner: &Owner) -> usize {
        self.of_each.get(owner).copied().unwrap_or(0)
    }
}
