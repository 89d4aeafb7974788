// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one thread that writes. All changes that wait at the time are one transaction with one sync of the disk, so that
//! many submissions at once cost hardly more than one.

use crate::database::{Database, failed};
use rusqlite::{Connection, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;
use unsandbox_protocol::gauges::{Stopwatch, StoreGauges};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, ErrorCode};

/// Changes in one transaction.
const BATCH_MAX: usize = 512;

/// A change, and what to do once it is on disk or has failed.
trait Change: Send {
    /// May be called again, after its transaction was rolled back.
    fn apply(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn what(&self) -> &'static str;
    fn done(self: Box<Self>, outcome: Result<(), Error>);
}

struct Write<T, A, D> {
    what: &'static str,
    apply: A,
    value: Option<T>,
    done: D,
}

impl<T, A, D> Change for Write<T, A, D>
where
    T: Send,
    A: FnMut(&Connection) -> rusqlite::Result<T> + Send,
    D: FnOnce(Result<T, Error>) + Send,
{
    fn apply(&mut self, db: &Connection) -> rusqlite::Result<()> {
        // What an earlier try gave is dropped first: it may hold room that this one needs.
        self.value = None;
        self.value = Some((self.apply)(db)?);
        Ok(())
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn done(self: Box<Self>, outcome: Result<(), Error>) {
        let Write { value, done, .. } = *self;
        done(outcome.map(|()| value.expect("a change that is committed was applied")));
    }
}

/// What the thread measures.
#[derive(Debug, Default)]
struct Measured {
    commits: Stopwatch,
    failures: AtomicU64,
    /// Whether the last change failed.
    is_failing: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    changes: Mutex<Option<Sender<Box<dyn Change>>>>,
    measured: Arc<Measured>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Changes that another process keeps from being written for long are given up.
    closing: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn start(database: &Database) -> Result<Writer, Error> {
        let (db, path) = (database.connect()?, database.path().to_path_buf());
        let (sender, receiver) = channel();
        let measured = Arc::new(Measured::default());
        let named = std::thread::Builder::new().name("unsandbox-store".to_string());
        let closing = Arc::new(AtomicBool::new(false));
        let thread = named.spawn({
            let (path, closing) = (path.clone(), closing.clone());
            let measured = measured.clone();
            move || run(db, &path, &receiver, &closing, &measured)
        });
        let thread = thread.map_err(|error| {
            Error::new(ErrorCode::Server, format!("the store's thread could not start: {error}"))
        })?;
        let (changes, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Writer { path, changes, thread, closing, measured })
    }

    pub(crate) fn gauges(&self) -> StoreGauges {
        StoreGauges {
            is_writable: !self.measured.is_failing.load(Ordering::SeqCst),
            failures: self.measured.failures.load(Ordering::SeqCst),
            commits: self.measured.commits.times(),
        }
    }

    /// Applies a change in the next transaction. `done` is called by the writer's thread once it is on disk, or with
    /// STORE. It must not wait for another change.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        apply: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) {
        let change: Box<dyn Change> = Box::new(Write { what, apply, value: None, done });
        let changes = lock(&self.changes);
        let refused = match &*changes {
            Some(sender) => sender.send(change).err().map(|error| error.0),
            None => Some(change),
        };
        drop(changes);
        if let Some(change) = refused {
            let text = format!("the store {} is closed", self.path.display());
            change.done(Err(Error::new(ErrorCode::Store, text)));
        }
    }

    /// The same, and waits for the outcome. Not for the writer's own thread.
    pub(crate) fn write_now<T: Send + 'static>(
        &self,
        what: &'static str,
        apply: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = channel();
        self.write(what, apply, move |outcome| {
            let _ = sender.send(outcome);
        });
        receiver.recv().unwrap_or_else(|_| Err(Error::internal("the store's writer is gone")))
    }

    /// From now on, changes that another process keeps from being written for long fail.
    pub(crate) fn begin_to_close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Writes the changes that wait, and ends the thread.
    pub(crate) fn close(&self) {
        drop(lock(&self.changes).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut db: Connection,
    path: &Path,
    changes: &Receiver<Box<dyn Change>>,
    closing: &AtomicBool,
    measured: &Measured,
) {
    let failures = Failures { path, measured };
    let mut was_busy = false;
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = changes.try_recv()
        {
            batch.push(next);
        }
        // A close does not wait for another process again and again.
        let committed = match was_busy && closing.load(Ordering::SeqCst) {
            true => Err(busy()),
            false => commit(&mut db, &mut batch, measured),
        };
        was_busy = committed.as_ref().is_err_and(is_busy);
        match committed {
            Ok(()) => batch.into_iter().for_each(|change| failures.done(change, Ok(()))),
            Err(error) if was_busy => {
                // Nothing was changed, and the next try would wait as long.
                batch.into_iter().for_each(|change| failures.failed(change, &error));
            }
            Err(error) => alone(&mut db, &failures, batch, error),
        }
    }
}

/// After a failure each change is tried by itself: a large one may find no room where small ones do.
fn alone(
    db: &mut Connection,
    failures: &Failures<'_>,
    batch: Vec<Box<dyn Change>>,
    error: rusqlite::Error,
) {
    let mut error = Some(error).filter(|_| batch.len() == 1);
    for mut change in batch {
        let outcome = match error.take() {
            Some(error) => Err(error),
            None => commit(db, std::slice::from_mut(&mut change), failures.measured),
        };
        match outcome {
            Ok(()) => failures.done(change, Ok(())),
            Err(error) => failures.failed(change, &error),
        }
    }
}

/// Measures the time of a commit.
fn commit(
    db: &mut Connection,
    batch: &mut [Box<dyn Change>],
    measured: &Measured,
) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in batch {
        let applied = catch_unwind(AssertUnwindSafe(|| change.apply(&transaction)));
        applied.unwrap_or(Err(rusqlite::Error::InvalidQuery))?;
    }
    transaction.commit()?;
    measured.commits.add(begun.elapsed());
    Ok(())
}

fn is_busy(error: &rusqlite::Error) -> bool {
    let busy = [rusqlite::ErrorCode::DatabaseBusy, rusqlite::ErrorCode::DatabaseLocked];
    error.sqlite_error_code().is_some_and(|code| busy.contains(&code))
}

fn busy() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, None)
}

/// Tells each change its outcome, and the log the first failure and the first success after it.
struct Failures<'a> {
    path: &'a Path,
    measured: &'a Measured,
}

impl Failures<'_> {
    fn failed(&self, change: Box<dyn Change>, error: &rusqlite::Error) {
        self.measured.failures.fetch_add(1, Ordering::SeqCst);
        let error = failed(self.path, change.what(), error);
        if !self.measured.is_failing.load(Ordering::SeqCst) {
            log::error!("{error}");
        }
        self.done(change, Err(error));
    }

    fn done(&self, change: Box<dyn Change>, outcome: Result<(), Error>) {
        let was_failing = self.measured.is_failing.swap(outcome.is_err(), Ordering::SeqCst);
        if was_failing && outcome.is_ok() {
            log::info!("the store {} can be written again", self.path.display());
        }
        let what = change.what();
        // It calls sinks, which are foreign code.
        if catch_unwind(AssertUnwindSafe(|| change.done(outcome))).is_err() {
            log::error!("a panic as the store had tried to {what} (a bug; please report it)");
        }
    }
}
