// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many deliveries of each key are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use unsandbox_protocol::Owner;
use unsandbox_protocol::sync::lock;

pub(super) struct Places {
    out: Mutex<HashMap<Owner, usize>>,
    /// Told of each that is free again.
    wake: Arc<Notify>,
}

/// That of one delivery, as long as it exists.
pub(super) struct Place {
    places: Arc<Places>,
    owner: Owner,
}

impl Places {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Places> {
        Arc::new(Places { out: Mutex::default(), wake })
    }

    pub(super) fn enter(self: &Arc<Self>, owner: &Owner) -> Place {
        *lock(&self.out).entry(owner.clone()).or_default() += 1;
        Place { places: self.clone(), owner: owner.clone() }
    }

    /// Those in use, by their owner.
    pub(super) fn out(&self) -> HashMap<Owner, usize> {
        lock(&self.out).clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut out = lock(&self.places.out);
        if let Some(count) = out.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                out.remove(&self.owner);
            }
        }
        drop(out);
        self.places.wake.notify_one();
    }
}
