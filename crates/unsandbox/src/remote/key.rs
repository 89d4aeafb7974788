// SPDX-License-Identifier: MIT OR Apache-2.0
//! The unique parts of idempotency keys.

use std::sync::Mutex;
use unsandbox_protocol::Error;
use unsandbox_protocol::auth::hex;
use unsandbox_protocol::sync::lock;

const KEY_BYTES: usize = 16;
/// Keys for which random bytes are read at once, which saves a system call for each submission.
const BATCH: usize = 32;

/// Random bytes for the next keys. Every process has its own, because a forked child would use the same keys as its
/// parent.
#[derive(Default)]
pub(super) struct Keys {
    left: Mutex<Vec<[u8; KEY_BYTES]>>,
}

impl Keys {
    pub(super) fn next(&self) -> Result<String, Error> {
        let mut left = lock(&self.left);
        if left.is_empty() {
            let mut batch = [[0; KEY_BYTES]; BATCH];
            getrandom::fill(batch.as_flattened_mut())
                .map_err(|cause| Error::internal("no random numbers").with_cause(cause))?;
            left.extend(batch);
        }
        Ok(hex(&left.pop().expect("it was just filled")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_keys_are_the_same() {
        let keys = Keys::default();
        let made: HashSet<String> = (0..3 * BATCH).map(|_| keys.next().unwrap()).collect();
        assert_eq!(made.len(), 3 * BATCH);
        assert!(made.iter().all(|key| key.len() == 2 * KEY_BYTES));
    }
}
