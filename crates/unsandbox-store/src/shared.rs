// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state that callers, the writer and the ticks share.
//!
//! The lock of [`Live`] is never held while a sink is called, the disk is waited for, or the inner backend is called.

use crate::adopted::{Adopted, AdoptedEnd};
use crate::clock::StoreClock;
use crate::database::Database;
use crate::keys::Name;
use crate::lease::Lease;
use crate::live::{Live, QueueLimits};
use crate::recovery::Now;
use crate::retention::Retention;
use crate::rows::Seen;
use crate::writer::Writer;
use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unsandbox_protocol::gauges::{OwnerGauges, Stopwatch};
use unsandbox_protocol::limits::{
    QUEUE_MAX, QUEUE_MAX_BYTES, STORE_RETENTION, STORE_RETENTION_MAX_BYTES, WEBHOOKS_KEPT_MAX,
};
use unsandbox_protocol::quota::{KeptFree, NoQuotas, Quotas};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Backend, Error, ErrorCode, EventSink, Owner};

/// How long nothing is started after the store could not be written.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// A task that may take long.
pub(crate) enum Task {
    /// Hands a job to the inner backend that is on disk as running.
    Start { job_id: String },
    /// Answers a repeated submission with the job of the first.
    Known { job_id: String, owner: Owner, sink: Arc<dyn EventSink> },
    /// Tells the ends of adopted jobs that wait.
    TellAdopted,
}

/// Unix milliseconds by the clock of the machine, which somebody may set.
#[derive(Clone)]
pub struct WallClock(pub Arc<dyn Fn() -> i64 + Send + Sync>);

impl Default for WallClock {
    fn default() -> Self {
        WallClock(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// Options of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Jobs that the inner backend runs at once.
    pub concurrency: usize,
    /// Jobs of one owner that may wait, unless its quota says it.
    pub queue_max: usize,
    /// What each owner may have.
    pub quotas: Arc<dyn Quotas>,
    /// Bytes of the requests of all jobs that wait.
    pub queue_bytes: u64,
    /// How long results are kept, and how many bytes of them.
    pub retention: Retention,
    /// Webhooks of one owner that are kept.
    pub webhooks_max: usize,
    pub clock: WallClock,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            concurrency: 1,
            queue_max: QUEUE_MAX,
            quotas: Arc::new(NoQuotas),
            queue_bytes: QUEUE_MAX_BYTES,
            retention: Retention { time: STORE_RETENTION, bytes: STORE_RETENTION_MAX_BYTES },
            webhooks_max: WEBHOOKS_KEPT_MAX,
            clock: WallClock::default(),
        }
    }
}

pub(crate) struct Shared {
    pub inner: Arc<dyn Backend>,
    pub options: StoreOptions,
    pub database: Database,
    pub writer: Writer,
    pub clock: StoreClock,
    /// The id of this process's lease.
    pub process: i64,
    pub process_lease: Mutex<Option<Lease>>,
    pub queue_lease: Mutex<Option<Lease>>,
    pub name: Mutex<Name>,
    /// How far the jobs that wait on the disk are known.
    pub seen: Mutex<Seen>,
    /// From the acceptance of a job until it is handed to the inner backend.
    pub waits: Stopwatch,
    pub adopted: Adopted,
    live: Mutex<Live>,
    /// Signalled when a job ends.
    pub ended: Condvar,
    /// Wakes the ticks before their time.
    pub tick_now: Condvar,
    /// Tasks for threads of their own; `None` after the close.
    pub tasks: Mutex<Option<Sender<Task>>>,
}

impl Shared {
    pub(crate) fn new(
        inner: Arc<dyn Backend>,
        options: StoreOptions,
        opened: Opened,
        tasks: Sender<Task>,
    ) -> Shared {
        let Opened { database, writer, clock, process, lease, name } = opened;
        Shared {
            inner,
            options,
            database,
            writer,
            clock,
            process,
            process_lease: Mutex::new(Some(lease)),
            queue_lease: Mutex::new(None),
            name: Mutex::new(name),
            seen: Mutex::default(),
            waits: Stopwatch::default(),
            adopted: Adopted::default(),
            live: Mutex::default(),
            ended: Condvar::new(),
            tick_now: Condvar::new(),
            tasks: Mutex::new(Some(tasks)),
        }
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }

    /// Has a task done; false after the close.
    pub(crate) fn do_later(&self, task: Task) -> bool {
        lock(&self.tasks).as_ref().is_some_and(|tasks| tasks.send(task).is_ok())
    }

    /// The end of an adopted job is on disk.
    pub(crate) fn adopted_ended(&self, end: AdoptedEnd) {
        if self.adopted.add(end) {
            self.tell_adopted();
        }
    }

    /// Has the ends of adopted jobs told: later, as their requests may be large, unless the store closes.
    pub(crate) fn tell_adopted(&self) {
        if !self.do_later(Task::TellAdopted) {
            self.adopted.tell();
        }
    }

    /// The bounds of the queue for one owner. A job that may start at once takes no place of those that wait.
    /// `at_inner` is what the inner backend has of the owner, with synchronous runs.
    pub(crate) fn limits(&self, owner: &Owner, live: &Live, at_inner: OwnerGauges) -> QueueLimits {
        let StoreOptions { concurrency, queue_max, queue_bytes, quotas, .. } = &self.options;
        let quota = quotas.quota(owner);
        let (dispatched, all) = live.dispatched(owner);
        let there = usize::try_from(at_inner.running + at_inner.waiting).unwrap_or(usize::MAX);
        let mine = dispatched.max(there);
        // Jobs of others that only wait there take none of its own places.
        let own = quota.reserved.saturating_sub(mine);
        let free = concurrency.saturating_sub(all.max(there)).max(own);
        let kept = KeptFree::now(&**quotas, |owner| live.dispatched(owner).0);
        let places = quota.places(mine, free, kept.from(owner));
        let waiting_each = quota.queue.unwrap_or(*queue_max);
        QueueLimits { waiting_each, places, bytes: *queue_bytes }
    }

    /// Whether hardly any job of a new owner would find room.
    pub(crate) fn is_full(&self, live: &Live) -> bool {
        live.is_full(self.options.queue_bytes)
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        (self.options.clock.0)() / 1_000
    }

    pub(crate) fn now(&self) -> Now {
        Now { store_ms: self.clock.now_ms(), unix_seconds: self.unix_seconds() }
    }

    pub(crate) fn unknown(&self, job_id: &str) -> Error {
        let shown: String = job_id.chars().take(80).collect();
        let Retention { time, bytes } = self.options.retention;
        Error::new(
            ErrorCode::NotFound,
            format!(
                "there is no job {shown:?} for this key; a finished job is removed {} s after its end, or earlier \
                 when all results exceed {} MB",
                time.as_secs(),
                bytes >> 20
            ),
        )
    }
}

/// A store that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub database: Database,
    pub writer: Writer,
    pub clock: StoreClock,
    pub process: i64,
    pub lease: Lease,
    pub name: Name,
}
