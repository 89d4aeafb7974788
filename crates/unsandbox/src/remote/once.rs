// SPDX-License-Identifier: MIT OR Apache-2.0
//! The idempotency key, which makes a submission safe to send again. It names the store that has to remember it, as known
//! before the first attempt: a server with another store may have lost that attempt, or never have received it.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use unsandbox_protocol::{Error, wire};

/// How often a submission that was refused for its store is sent to another one. Behind a load balancer the
/// next server may refuse it again.
const MOVES_MAX: u32 = 1;

#[derive(Debug, Default)]
pub(super) struct Once {
    /// The unique part of the key; the first attempt makes it.
    unique: OnceCell<String>,
    store: RefCell<Option<Arc<str>>>,
    moves: Cell<u32>,
    /// An asynchronous submission, whose key may be in a store of its own.
    pub(super) as_job: bool,
}

impl Once {
    /// Without a store the submission is sent once.
    pub(super) fn new(store: Option<Arc<str>>, as_job: bool) -> Once {
        Once { store: RefCell::new(store), as_job, ..Once::default() }
    }

    /// The idempotency key, the same for as long as the store is. `make` gives its unique part.
    pub(super) fn key(
        &self,
        make: impl FnOnce() -> Result<String, Error>,
    ) -> Result<String, Error> {
        if self.unique.get().is_none() {
            let made = make()?;
            self.unique.get_or_init(|| made);
        }
        let unique = self.unique.get().map_or("", String::as_str);
        Ok(match &*self.store.borrow() {
            Some(store) => wire::key_in_store(store, unique),
            None => unique.to_string(),
        })
    }

    /// Whether a repetition cannot run the program again.
    pub(super) fn is_bound(&self) -> bool {
        self.store.borrow().is_some()
    }

    /// To be called after a refusal because of the store, if nothing has run. Binds the submission to the store that the
    /// refusal names, or to none if that has failed before. Returns whether it may be sent again.
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
        let once = Once::new(Some("a".into()), false);
        assert!(once.is_bound());
        let key = || once.key(|| Ok("1".to_string())).unwrap();
        assert_eq!((key(), key()), ("a/1".to_string(), "a/1".to_string()));
        assert!(once.follow(Some("b".into())) && once.is_bound());
        assert_eq!(key(), "b/1");
        assert!(once.follow(Some("c".into())) && !once.is_bound());
        assert_eq!(key(), "1");
        assert!(!once.follow(Some("d".into())), "a server that refuses what it was not asked");
        let silent = Once::new(Some("a".into()), false);
        assert!(silent.follow(None) && !silent.is_bound());
    }
}
