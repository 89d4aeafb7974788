// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room for request bodies and for replies: each may be large, and all of them together must not take the
//! machine's memory. A body that does not fit is refused at once, a reply after a while; whoever comes back
//! later finds room.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in pieces of so many bytes.
const PIECE_BYTES: usize = 1024;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Room {
    pieces: Arc<Semaphore>,
    all: usize,
}

/// What one has of it; given back when dropped.
#[derive(Default)]
pub(crate) struct Share {
    held: Option<OwnedSemaphorePermit>,
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
        Room { pieces: Arc::new(Semaphore::new(all)), all }
    }

    /// A share of `bytes`, once there is room; `None` if there is none in time. What is larger than the
    /// whole room has it for itself.
    pub(crate) async fn wait(&self, bytes: usize, patience: Duration) -> Option<Share> {
        let pieces = bytes.div_ceil(PIECE_BYTES).min(self.all);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let coming = self.pieces.clone().acquire_many_owned(pieces);
        let held = tokio::time::timeout(patience, coming).await.ok()?;
        Some(Share { held: Some(held.expect("the semaphore is never closed")) })
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
