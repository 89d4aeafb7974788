// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room for request bodies and for replies: each may be large, and all of them together must not take the
//! machine's memory. A body that does not fit is refused at once, a reply after a while; whoever comes back
//! later finds room.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unsandbox_protocol::Owner;

/// Bytes are counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1024;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Room {
    pieces: Arc<Semaphore>,
    all: usize,
    /// What each owner may have of it, as long as somebody uses it.
    owners: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// What one has of it; given back when dropped.
#[derive(Default)]
pub(crate) struct Share {
    held: Option<OwnedSemaphorePermit>,
    _of_owner: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("pieces", &self.pieces()).finish()
    }
}

impl Share {
    fn pieces(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Room {
        let all = bytes / PIECE_BYTES;
        Room { pieces: Arc::new(Semaphore::new(all)), all, owners: Mutex::default() }
    }

    /// Three quarters: what somebody leaves untaken is in nobody else's way.
    fn most_of_owner(&self) -> usize {
        self.all - self.all / 4
    }

    fn of_owner(&self, owner: &Owner) -> Arc<Semaphore> {
        let mut owners = self.owners.lock().expect("no panic under this lock");
        if let Some(known) = owners.get(owner).and_then(Weak::upgrade) {
            return known;
        }
        owners.retain(|_, used| used.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.most_of_owner()));
        owners.insert(owner.clone(), Arc::downgrade(&own));
        own
    }

    /// A share of `bytes`, once there is room, also of what its owner may have; `None` if there is none in
    /// time. What is larger than the whole room has it for itself.
    pub(crate) async fn wait(
        &self,
        owner: &Owner,
        bytes: usize,
        patience: Duration,
    ) -> Option<Share> {
        let pieces = bytes.div_ceil(PIECE_BYTES).min(self.all);
        let take = |from: Arc<Semaphore>, most: usize| async move {
            let pieces = u32::try_from(pieces.min(most)).unwrap_or(u32::MAX);
            from.acquire_many_owned(pieces).await.expect("the semaphore is never closed")
        };
        let coming = async {
            let of_owner = take(self.of_owner(owner), self.most_of_owner()).await;
            let held = take(self.pieces.clone(), self.all).await;
            Share { held: Some(held), _of_owner: Some(of_owner) }
        };
        tokio::time::timeout(patience, coming).await.ok()
    }

    /// Makes a share large enough for `bytes`; false where there is no room for that.
    pub(crate) fn enlarge(&self, share: &mut Share, bytes: usize) -> bool {
        let more = bytes.div_ceil(PIECE_BYTES).saturating_sub(share.pieces());
        if more == 0 {
            return true;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = self.pieces.clone().try_acquire_many_owned(more) else { return false };
        match &mut share.held {
            Some(held) => held.merge(more),
            None => share.held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_refuses_until_something_goes() {
        let room = Room::new(4 * PIECE_BYTES);
        let (mut a, mut b) = (Share::default(), Share::default());
        assert!(room.enlarge(&mut a, 1) && room.enlarge(&mut a, PIECE_BYTES));
        assert!(room.enlarge(&mut a, 2 * PIECE_BYTES));
        assert!(!room.enlarge(&mut b, 2 * PIECE_BYTES + 1));
        assert!(room.enlarge(&mut b, 2 * PIECE_BYTES));
        drop(a);
        assert!(room.enlarge(&mut b, 4 * PIECE_BYTES));
    }
}
