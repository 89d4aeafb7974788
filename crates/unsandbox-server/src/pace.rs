// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lowest speed of request bodies and replies: a longest pause, a minimum rate, and for bodies a deadline. With
//! a limit on the pause alone, as the timeouts of tower-http are, one byte now and then would keep a connection for ever.

use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest time without a byte, and the time before the rate counts.
    pub pause: Duration,
    /// Bytes a second, on average since the beginning.
    pub rate: u32,
    pub deadline: Option<Duration>,
}

impl Pace {
    pub(crate) fn begin(self) -> Progress {
        let now = Instant::now();
        Progress { pace: self, begun: now, moved: now, bytes: 0 }
    }
}

/// A transfer that is measured against a pace.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pace: Pace,
    begun: Instant,
    /// When the last bytes moved.
    moved: Instant,
    bytes: u64,
}

impl Progress {
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = Instant::now();
        self.bytes += bytes as u64;
    }

    /// When the transfer is aborted unless more bytes move.
    pub(crate) fn end(&self) -> Instant {
        let Pace { pause, rate, deadline } = self.pace;
        let earned = Duration::from_secs_f64(self.bytes as f64 / f64::from(rate.max(1)));
        let end = (self.moved + pause).min(self.begun + pause + earned);
        deadline.map_or(end, |deadline| end.min(self.begun + deadline))
    }
}

/// For the message: the bytes and the time so far, and the limits.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pace { pause, rate, deadline } = self.pace;
        let seconds = |time: Duration| time.as_millis() as f64 / 1000.0;
        write!(
            f,
            "{} bytes in {} s; the limits are {} s without a byte, {rate} bytes/s on average after the first {} s",
            self.bytes,
            seconds(self.begun.elapsed()),
            seconds(pause),
            seconds(pause),
        )?;
        match deadline {
            Some(deadline) => write!(f, ", and {} s in all", seconds(deadline)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_extend_the_time_but_not_the_pause_or_the_deadline() {
        let seconds = Duration::from_secs;
        let pace = Pace { pause: seconds(30), rate: 1024, deadline: Some(seconds(300)) };
        let mut progress = pace.begin();
        let begun = progress.begun;
        assert_eq!(progress.end(), begun + seconds(30));
        // One byte a second: the minimum rate ends the transfer.
        progress.bytes = 29;
        progress.moved = begun + seconds(29);
        assert!(progress.end() < begun + seconds(31), "{:?}", progress.end() - begun);
        progress.bytes = 100 * 1024;
        assert_eq!(progress.end(), begun + seconds(29 + 30));
        progress.bytes = 1 << 30;
        progress.moved = begun + seconds(299);
        assert_eq!(progress.end(), begun + seconds(300));
        let shown = progress.to_string();
        assert!(shown.contains("1024 bytes/s") && shown.contains("300 s in all"), "{shown}");
    }
}
