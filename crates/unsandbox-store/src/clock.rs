// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time of the store, which only goes forward. Somebody may set the clock of the machine back: no result is kept
//! longer or shorter for it while the server runs, and no order depends on it.

use std::time::Instant;

#[derive(Debug)]
pub(crate) struct StoreClock {
    base_ms: i64,
    since: Instant,
}

impl StoreClock {
    /// Goes on from the later of the machine's clock and the last time that the store has on disk.
    pub(crate) fn new(wall_ms: i64, saved_ms: i64) -> StoreClock {
        StoreClock { base_ms: wall_ms.max(saved_ms), since: Instant::now() }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.base_ms.saturating_add(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_does_not_turn_the_time_of_the_store_back() {
        assert!(StoreClock::new(5_000, 9_000).now_ms() >= 9_000);
        assert!(StoreClock::new(9_000, 5_000).now_ms() >= 9_000);
        assert_eq!(StoreClock::new(i64::MAX, 0).now_ms(), i64::MAX);
    }
}
