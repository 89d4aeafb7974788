// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a backend measures of itself, for a server that reports it. Plain numbers: no library of metrics is linked by
//! programs that only run code.

use crate::sync::lock;
use std::sync::Mutex;
use std::time::Duration;

/// The state of a backend now, and its measurements since it was made. Empty where it measures nothing.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Gauges {
    /// Each place in which submissions wait for their turn.
    pub queues: Vec<QueueGauges>,
    /// Programs that run now; `None` where unknown.
    pub running: Option<u64>,
    /// From the hand-over of a run to the start of its program; of runs without a compile step alone.
    pub starts: Option<Times>,
    /// How many runs ended because a layer of their jail, which is named, could not be set up.
    pub jail_failures: Vec<(String, u64)>,
    /// `None` where nothing is written.
    pub store: Option<StoreGauges>,
    /// Webhooks of jobs that have ended which are not delivered or given up; `None` where none are kept.
    pub webhooks_due: Option<u64>,
}

/// What a backend has of one owner now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct OwnerGauges {
    /// Its programs that run.
    pub running: u64,
    /// Its submissions that wait for their turn.
    pub waiting: u64,
    /// Its finished jobs that are kept.
    pub kept_jobs: u64,
    /// Bytes of their results.
    pub kept_bytes: u64,
}

/// One queue.
#[derive(Clone, PartialEq, Debug)]
pub struct QueueGauges {
    /// Which one: `engine` or `store`.
    pub name: &'static str,
    /// Submissions in it now.
    pub waiting: u64,
    /// Whether it would refuse the next submission, of any owner.
    pub is_full: bool,
    /// How long submissions were in it that have left it to run.
    pub waits: Times,
}

/// The disk on which jobs are kept.
#[derive(Clone, PartialEq, Debug)]
pub struct StoreGauges {
    /// Whether the last write has succeeded.
    pub is_writable: bool,
    /// Changes that could not be written.
    pub failures: u64,
    /// Of transactions, from their begin until they are on disk.
    pub commits: Times,
}

/// How long something took, each time that it happened.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Times {
    /// An upper bound in seconds, and how many took at most that and more than the bound before. The last bound is
    /// [`f64::MAX`].
    pub buckets: Vec<(f64, u64)>,
    /// All of them together, in seconds.
    pub sum_seconds: f64,
}

impl Times {
    /// How often it happened.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

/// Upper bounds of all measurements, in seconds: 1 ms to 15 minutes, the longest ttl.
pub const BOUNDS_SECONDS: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0,
];

/// Collects [`Times`]; shared by threads.
#[derive(Debug, Default)]
pub struct Stopwatch(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// The last one is for what took longer than all bounds.
    counts: [u64; BOUNDS_SECONDS.len() + 1],
    sum: Duration,
}

impl Stopwatch {
    /// Adds one measurement.
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let index = BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        let mut measured = lock(&self.0);
        measured.counts[index] += 1;
        measured.sum = measured.sum.saturating_add(took);
    }

    /// The measurements so far.
    pub fn times(&self) -> Times {
        let measured = lock(&self.0);
        let bounds = BOUNDS_SECONDS.into_iter().chain([f64::MAX]);
        Times {
            buckets: bounds.zip(measured.counts).collect(),
            sum_seconds: measured.sum.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_in_the_bucket_of_the_next_bound() {
        let watch = Stopwatch::default();
        for ms in [1, 2, 901_000] {
            watch.add(Duration::from_millis(ms));
        }
        let times = watch.times();
        assert_eq!((times.count(), times.sum_seconds), (3, 901.003));
        let filled: Vec<_> = times.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(0.001, 1), &(0.0025, 1), &(f64::MAX, 1)]);
    }

    #[test]
    fn the_bounds_ascend() {
        assert!(BOUNDS_SECONDS.is_sorted_by(|a, b| a < b));
    }
}
