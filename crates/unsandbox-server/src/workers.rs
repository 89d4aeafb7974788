// SPDX-License-Identifier: MIT OR Apache-2.0
//! Work beside the event loop. What grows with a request or a result takes its turn, and so do questions about jobs,
//! which a backend may have to ask another server; questions about the server itself always find a thread. What
//! nobody waits for any more is not begun.

use crate::party::Party;
use crate::reply;
use crate::turns::{Turn, Turns};
use tokio::task::JoinHandle;
use unsandbox_protocol::Error;

/// Threads of the runtime for work beside the event loop.
pub(crate) const THREADS: usize = 16;
/// At most so many of them have work that grows.
const HEAVY_MAX: usize = THREADS / 2;
/// At most so many of them wait for the backend's answer about a job.
const QUESTIONS_MAX: usize = THREADS / 4;

#[derive(Debug)]
pub(crate) struct Workers {
    turns: Turns,
    questions: Turns,
}

impl Default for Workers {
    fn default() -> Self {
        // It is the processors that do such work: more at once would only hold more memory.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Workers {
            turns: Turns::new(cores.clamp(2, HEAVY_MAX)),
            questions: Turns::new(QUESTIONS_MAX),
        }
    }
}

impl Workers {
    /// Does work whose cost grows, in the turn of its party.
    pub(crate) async fn heavy<T: Send + 'static>(
        &self,
        party: Party,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        in_turn(self.turns.take(party).await, work).await
    }

    /// Asks the backend about a job, in the turn of its party.
    pub(crate) async fn question<T: Send + 'static>(
        &self,
        party: Party,
        ask: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        in_turn(self.questions.take(party).await, ask).await
    }
}

/// Does work while it has its turn.
async fn in_turn<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    beside(move || {
        let _turn = turn;
        work()
    })
    .await
}

/// Does short work that may block.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let mut task = Wanted(tokio::task::spawn_blocking(work));
    (&mut task.0).await.map_err(|_| reply::bug())?
}

/// Takes work back that has not begun.
struct Wanted<T>(JoinHandle<T>);

impl<T> Drop for Wanted<T> {
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
    fn what_nobody_waits_for_is_not_begun() {
        let runtime = runtime(1);
        let (sender, work) = held();
        let begun = Arc::new(AtomicBool::new(false));
        runtime.block_on(async {
            let first = tokio::task::spawn_blocking(work);
            let unwanted = beside({
                let begun = begun.clone();
                move || {
                    begun.store(true, Ordering::SeqCst);
                    Ok(())
                }
            });
            // Its place in the line is taken, and given up.
            let _ = tokio::time::timeout(Duration::from_millis(50), unwanted).await;
            drop(sender);
            first.await.unwrap().unwrap();
            beside(|| Ok(())).await.unwrap();
        });
        assert!(!begun.load(Ordering::SeqCst));
    }

    #[test]
    fn short_work_finds_a_thread_whatever_else_is_going_on() {
        let runtime = runtime(THREADS);
        let workers = Arc::new(Workers::default());
        let (senders, held): (Vec<_>, Vec<_>) = (0..2 * THREADS).map(|_| held()).unzip();
        runtime.block_on(async {
            for work in held {
                let workers = workers.clone();
                tokio::spawn(
                    async move { workers.heavy(Party::Key(Owner::default()), work).await },
                );
            }
            let short = tokio::time::timeout(Duration::from_secs(20), beside(|| Ok(7)));
            assert_eq!(short.await.expect("there is a thread").unwrap(), 7);
        });
        drop(senders);
    }
}
