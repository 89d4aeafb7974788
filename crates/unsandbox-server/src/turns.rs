// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns at work that takes the processor. Parties that wait have theirs one after the other, so that the many
//! requests of one are not before the first of another.

use crate::party::Party;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    free: usize,
    /// Who waits, only while nothing is free: the first party has the next turn.
    parties: VecDeque<(Party, VecDeque<oneshot::Sender<Turn>>)>,
}

/// One turn; the next in the queue has it when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Turns);

impl Turns {
    pub(crate) fn new(at_once: usize) -> Turns {
        Turns(Arc::new(Mutex::new(Queue { free: at_once, parties: VecDeque::new() })))
    }

    pub(crate) async fn take(&self, party: Party) -> Turn {
        let receiver = {
            let mut queue = self.0.lock().expect("no panic under this lock");
            if queue.free > 0 {
                queue.free -= 1;
                return Turn(self.clone());
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
    /// The next that still waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
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

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.0.lock().expect("no panic under this lock");
            let next = queue.next();
            queue.free += usize::from(next.is_none());
            next
        };
        if let Some(next) = next {
            // Nobody waits there any more: then it comes back here, and is dropped once more.
            drop(next.send(Turn(self.0.clone())));
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

    fn look<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_second_party_waits_for_one_turn_and_not_for_all_of_the_first() {
        let turns = Turns::new(1);
        let held = look(pin!(turns.take(party("a")))).expect("it is free");
        let mut many: Vec<_> = (0..100).map(|_| Box::pin(turns.take(party("a")))).collect();
        many.iter_mut().for_each(|one| assert!(look(one.as_mut()).is_none()));
        let mut other = pin!(turns.take(party("b")));
        assert!(look(other.as_mut()).is_none());
        drop(held);
        let first = look(many[0].as_mut()).expect("its turn");
        assert!(look(other.as_mut()).is_none());
        drop(first);
        drop(look(other.as_mut()).expect("its turn, before the other 99"));
        assert!(look(many[1].as_mut()).is_some());
    }

    #[test]
    fn turns_of_those_who_went_are_not_lost() {
        let turns = Turns::new(1);
        let held = look(pin!(turns.take(party("a")))).unwrap();
        let mut waits = Box::pin(turns.take(party("a")));
        let mut given = Box::pin(turns.take(party("b")));
        assert!(look(waits.as_mut()).is_none() && look(given.as_mut()).is_none());
        drop(waits);
        drop(held);
        // It has its turn, and goes before it looks.
        drop(given);
        assert!(look(pin!(turns.take(party("c")))).is_some());
    }
}
