// SPDX-License-Identifier: MIT OR Apache-2.0
//! What makes a submission safe to send again: its key, and the store that has to remember that key. The
//! store is the one that was known before the first attempt: a server that answers for another store may
//! have forgotten that attempt, or never have seen it.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use unsandbox_protocol::Error;

/// How often a submission that was refused for its store is sent to another one. Behind a load balancer the
/// next server may refuse it again.
const MOVES_MAX: u32 = 1;

#[derive(Debug, Default)]
pub(super) struct Once {
    key: OnceCell<String>,
    store: RefCell<Option<Arc<str>>>,
    moves: Cell<u32>,
}

impl Once {
    /// Without a store the submission is sent once.
    pub(super) fn new(store: Option<Arc<str>>) -> Once {
        Once { store: RefCell::new(store), ..Once::default() }
    }

    /// The idempotency key, which the first attempt makes.
    pub(super) fn key(&self, make: impl FnOnce() -> Result<String, Error>) -> Result<&str, Error> {
        if self.key.get().is_none() {
            let made = make()?;
            self.key.get_or_init(|| made);
        }
        Ok(self.key.get().map_or("", String::as_str))
    }

    pub(super) fn store(&self) -> Option<Arc<str>> {
        self.store.borrow().clone()
    }

    /// Whether a repetition cannot run the program again.
    pub(super) fn is_bound(&self) -> bool {
        self.store.borrow().is_some()
    }

    /// After a refusal for its store, with nothing run so far: binds the submission to the store that the
    /// refusal names, and to none once that was in vain. Whether it may be sent again.
    pub(super) fn follow(&self, named: Option<Arc<str>>) -> bool {
        let was_bound = self.is_bound();
        let moves = self.moves.get();
        self.moves.set(moves + 1);
        self.store.replace(named.filter(|_| moves < MOVES_MAX));
        was_bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_follows_once_and_is_then_sent_once() {
        let once = Once::new(Some("a".into()));
        assert!(once.is_bound());
        assert!(once.follow(Some("b".into())) && once.store().as_deref() == Some("b"));
        assert!(once.follow(Some("c".into())) && !once.is_bound());
        assert!(!once.follow(Some("d".into())), "a server that refuses what it was not asked");
        let silent = Once::new(Some("a".into()));
        assert!(silent.follow(None) && !silent.is_bound());
    }
}
