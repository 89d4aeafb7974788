// SPDX-License-Identifier: MIT OR Apache-2.0
//! A semaphore that is fair between parties: waiting parties get permits in turn, so that many requests of one
//! party do not delay the first request of another.

use crate::party::Party;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use unsandbox_protocol::sync::lock;

#[derive(Clone, Debug)]
pub(crate) struct FairSemaphore(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    free: usize,
    /// The waiters by party, only while nothing is free. The first party gets the next permit.
    parties: VecDeque<(Party, VecDeque<oneshot::Sender<Permit>>)>,
}

/// A permit. When it is dropped, the next in the queue gets it.
#[derive(Debug)]
pub(crate) struct Permit(FairSemaphore);

impl FairSemaphore {
    pub(crate) fn new(at_once: usize) -> FairSemaphore {
        FairSemaphore(Arc::new(Mutex::new(Queue { free: at_once, parties: VecDeque::new() })))
    }

    pub(crate) async fn acquire(&self, party: Party) -> Permit {
        let receiver = {
            let mut queue = lock(&self.0);
            if queue.free > 0 {
                queue.free -= 1;
                return Permit(self.clone());
            }
            let (sender, receiver) = oneshot::channel();
            match queue.parties.iter_mut().find(|(waiting, _)| *waiting == party) {
                Some((_, waiting)) => waiting.push_back(sender),
                None => queue.parties.push_back((party, VecDeque::from([sender]))),
            }
            receiver
        };
        receiver.await.expect("turns go from hand to hand")
    }
}

impl Queue {
    /// The next waiter that was not dropped.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while let Some((party, mut waiting)) = self.parties.pop_front() {
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|next| !next.is_closed());
            if !waiting.is_empty() {
                self.parties.push_back((party, waiting));
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut queue = lock(&self.0.0);
            let next = queue.next();
            queue.free += usize::from(next.is_none());
            next
        };
        if let Some(next) = next {
            // If the waiter is gone by now, `send` returns the permit, and dropping it serves the next one.
            drop(next.send(Permit(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};
    use unsandbox_protocol::Owner;

    fn party(name: &str) -> Party {
        Party::Key(Owner(name.to_string()))
    }

    fn poll_now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_second_party_waits_for_one_permit_and_not_for_all_of_the_first() {
        let semaphore = FairSemaphore::new(1);
        let held = poll_now(pin!(semaphore.acquire(party("a")))).expect("it is free");
        let mut many: Vec<_> = (0..100).map(|_| Box::pin(semaphore.acquire(party("a")))).collect();
        many.iter_mut().for_each(|one| assert!(poll_now(one.as_mut()).is_none()));
        let mut other = pin!(semaphore.acquire(party("b")));
        assert!(poll_now(other.as_mut()).is_none());
        drop(held);
        let first = poll_now(many[0].as_mut()).expect("its turn");
        assert!(poll_now(other.as_mut()).is_none());
        drop(first);
        drop(poll_now(other.as_mut()).expect("its turn, before the other 99"));
        assert!(poll_now(many[1].as_mut()).is_some());
    }

    #[test]
    fn permits_of_waiters_that_are_dropped_are_not_lost() {
        let semaphore = FairSemaphore::new(1);
        let held = poll_now(pin!(semaphore.acquire(party("a")))).unwrap();
        let mut waits = Box::pin(semaphore.acquire(party("a")));
        let mut given = Box::pin(semaphore.acquire(party("b")));
        assert!(poll_now(waits.as_mut()).is_none() && poll_now(given.as_mut()).is_none());
        drop(waits);
        drop(held);
        // It has a permit, and is dropped before it is polled.
        drop(given);
        assert!(poll_now(pin!(semaphore.acquire(party("c")))).is_some());
    }
}
