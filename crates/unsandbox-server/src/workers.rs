// SPDX-License-Identifier: MIT OR Apache-2.0
//! Worker threads beside the event loop. Work that grows with a request or a result waits for a permit. So do
//! questions about jobs and keys, which a backend may have to ask another server. Languages and health are asked for by
//! one request at a time. Work whose caller has left is not started. A backend may prepare a run before it returns from
//! `submit`; submissions have threads of their own, so that slow ones delay neither replies nor questions.

use crate::fair_semaphore::FairSemaphore;
pub(crate) use crate::fair_semaphore::Permit;
use crate::party::Party;
use crate::reply;
use tokio::task::JoinHandle;
use unsandbox_protocol::Error;

/// Work on more bytes than this is done on a worker thread, so that the event loop can serve other requests.
pub(crate) const INLINE_BYTES: usize = 64 * 1024;
/// Threads of the runtime for work beside the event loop: for all permits, and some for short work without one.
pub(crate) const THREADS: usize = IN_TURN_MAX + SUBMISSIONS_MAX + QUESTIONS_MAX + 4;
/// The most threads with work that grows with its input.
const IN_TURN_MAX: usize = 8;
/// The most threads on which the backend takes submissions.
const SUBMISSIONS_MAX: usize = 8;
/// The most threads that wait for the backend's answer about a job or a key.
const QUESTIONS_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Workers {
    in_turn: FairSemaphore,
    submissions: FairSemaphore,
    questions: FairSemaphore,
}

impl Default for Workers {
    fn default() -> Self {
        // Bound by the processors: more at once would not be faster, and would hold more memory.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Workers {
            in_turn: FairSemaphore::new(cores.clamp(2, IN_TURN_MAX)),
            // Slow submissions of one party leave a thread for those of the others.
            submissions: FairSemaphore::leaving_one((cores + 1).clamp(3, SUBMISSIONS_MAX)),
            questions: FairSemaphore::new(QUESTIONS_MAX),
        }
    }
}

impl Workers {
    /// Does work whose cost grows with its input, when its party gets a permit.
    pub(crate) async fn run_in_turn<T: Send + 'static>(
        &self,
        party: Party,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        with_permit(self.in_turn.acquire(party).await, work).await
    }

    /// Does work whose cost grows with `size`: here if it is small, else on a worker thread.
    pub(crate) async fn run_sized<T: Send + 'static>(
        &self,
        size: usize,
        party: Party,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if size <= INLINE_BYTES { work() } else { self.run_in_turn(party, work).await }
    }

    /// Waits until the party may hand a submission to the backend; the permit is held until the backend has it.
    pub(crate) async fn submission(&self, party: Party) -> Permit {
        self.submissions.acquire(party).await
    }

    /// The same, if the permit is free.
    pub(crate) fn submission_now(&self, party: &Party) -> Option<Permit> {
        self.submissions.try_acquire(party)
    }

    /// Asks the backend about a job or a key, when its party gets a permit.
    pub(crate) async fn question<T: Send + 'static>(
        &self,
        party: Party,
        ask: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        with_permit(self.questions.acquire(party).await, ask).await
    }
}

/// Does work and holds the permit until its end.
async fn with_permit<T: Send + 'static>(
    permit: Permit,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(move || {
        let _permit = permit;
        work()
    })
    .await
}

/// Does short work that may block on a worker thread.
pub(crate) async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let mut task = AbortOnDrop(tokio::task::spawn_blocking(work));
    (&mut task.0).await.map_err(|_| reply::bug())?
}

/// Removes the work from the queue when dropped, if it has not started.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;
    use unsandbox_protocol::Owner;

    fn runtime(threads: usize) -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(threads).enable_all().build().unwrap()
    }

    /// Work that goes on until the sender is dropped.
    fn held() -> (mpsc::Sender<()>, impl FnOnce() -> Result<(), Error>) {
        let (sender, receiver) = mpsc::channel();
        let work = move || {
            let _ = receiver.recv();
            Ok(())
        };
        (sender, work)
    }

    #[test]
    fn work_whose_caller_has_left_is_not_started() {
        let runtime = runtime(1);
        let (sender, work) = held();
        let begun = Arc::new(AtomicBool::new(false));
        runtime.block_on(async {
            let first = tokio::task::spawn_blocking(work);
            let unwanted = spawn_blocking({
                let begun = begun.clone();
                move || {
                    begun.store(true, Ordering::SeqCst);
                    Ok(())
                }
            });
            // It is queued, and then dropped.
            let _ = tokio::time::timeout(Duration::from_millis(50), unwanted).await;
            drop(sender);
            first.await.unwrap().unwrap();
            spawn_blocking(|| Ok(())).await.unwrap();
        });
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[test]
    fn short_work_finds_a_thread_while_all_permits_are_in_use() {
        let runtime = runtime(THREADS);
        let workers = Arc::new(Workers::default());
        let (senders, held): (Vec<_>, Vec<_>) = (0..2 * THREADS).map(|_| held()).unzip();
        runtime.block_on(async {
            for work in held {
                let workers = workers.clone();
                tokio::spawn(async move {
                    workers.run_in_turn(Party::Key(Owner::default()), work).await
                });
            }
            let short = tokio::time::timeout(Duration::from_secs(20), spawn_blocking(|| Ok(7)));
            assert_eq!(short.await.expect("there is a thread").unwrap(), 7);
        });
        drop(senders);
    }
}
