// SPDX-License-Identifier: MIT OR Apache-2.0
//! A semaphore that is fair between parties: the next permit is for the party that has held permits for the least time,
//! so that many requests of one party, or long ones, do not delay the first request of another, as they do with the
//! semaphore of tokio. It may also leave one permit that no party gets alone.

use crate::fair_queue::FairQueue;
use crate::party::Party;
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use unsandbox_protocol::sync::lock;

#[derive(Clone, Debug)]
pub(crate) struct FairSemaphore(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    all: usize,
    free: usize,
    /// The most permits that one party holds at once.
    each: usize,
    /// The permits of each party that has any.
    held: HashMap<Party, usize>,
    /// The first party below its bound gets the next permit.
    waiters: FairQueue<Party, oneshot::Sender<Permit>>,
}

/// A permit. When it is dropped, the next in the queue gets it.
#[derive(Debug)]
pub(crate) struct Permit {
    semaphore: FairSemaphore,
    party: Party,
    /// When its party began to use it.
    begun: Option<Begun>,
}

#[derive(Clone, Copy, Debug)]
enum Begun {
    /// By the clock.
    At(Instant),
    /// By the processor time of the thread, for a poll: it is not charged with what other processes use meanwhile.
    AfterProcessorTime(Duration),
}

impl Begun {
    fn now() -> Begun {
        Begun::At(Instant::now())
    }

    fn of_poll() -> Begun {
        Begun::AfterProcessorTime(processor_time())
    }

    fn elapsed(self) -> Duration {
        match self {
            Begun::At(begun) => begun.elapsed(),
            Begun::AfterProcessorTime(before) => processor_time().saturating_sub(before),
        }
    }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl FairSemaphore {
    pub(crate) fn new(at_once: usize) -> FairSemaphore {
        Self::bounded(at_once, at_once)
    }

    /// One party holds at most all permits but one.
    pub(crate) fn leaving_one(at_once: usize) -> FairSemaphore {
        Self::bounded(at_once, at_once - 1)
    }

    fn bounded(all: usize, each: usize) -> FairSemaphore {
        let (held, waiters) = (HashMap::new(), FairQueue::default());
        FairSemaphore(Arc::new(Mutex::new(Queue { all, free: all, each, held, waiters })))
    }

    pub(crate) async fn acquire(&self, party: Party) -> Permit {
        let permit = match self.take_or_wait(party) {
            Ok(permit) => permit,
            Err(receiver) => receiver.await.expect(HANDED_ON),
        };
        permit.begin(Begun::now())
    }

    /// A permit, if the party may have one now.
    pub(crate) fn try_acquire(&self, party: &Party) -> Option<Permit> {
        let permit = self.take(&mut lock(&self.0), party);
        permit.map(|permit| permit.begin(Begun::now()))
    }

    fn take(&self, queue: &mut Queue, party: &Party) -> Option<Permit> {
        let may = queue.free > 0 && Queue::may_have_more(&queue.held, queue.each, party);
        may.then(|| {
            queue.take(party);
            self.permit(party.clone())
        })
    }

    fn permit(&self, party: Party) -> Permit {
        Permit { semaphore: self.clone(), party, begun: None }
    }

    fn take_or_wait(&self, party: Party) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut queue = lock(&self.0);
        self.take(&mut queue, &party).ok_or_else(|| queue.wait(&party))
    }

    /// A permit if all are free, else a place in the queue.
    fn take_if_idle(&self, party: Party) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut queue = lock(&self.0);
        let is_idle = queue.free == queue.all;
        let taken = is_idle.then(|| self.take(&mut queue, &party)).flatten();
        taken.ok_or_else(|| queue.wait(&party))
    }

    /// Gives the permits that are free to those who wait.
    fn hand_out(&self) {
        loop {
            let next = lock(&self.0).next();
            match next {
                Some(next) => self.hand_on(next),
                None => return,
            }
        }
    }

    fn hand_on(&self, (party, next): (Party, oneshot::Sender<Permit>)) {
        let permit = self.permit(party);
        // If the waiter is gone by now, `send` returns the permit, and dropping it serves the next one.
        drop(next.send(permit));
    }

    /// Runs a future, each poll of which is in the turn of a party. One without a party waits for no turn. A turn that has
    /// come belongs to the future that is returned: it goes on when that is dropped.
    ///
    /// The queue of the event loop knows no parties. So a task goes to its end before it is served: by then the tasks that
    /// were before it there wait here too, and the first of them all may be another one.
    pub(crate) async fn in_turns<F: Future>(
        &self,
        party: impl Fn() -> Option<Party>,
        future: F,
    ) -> F::Output {
        let mut turn = Turn { semaphore: self, waits: None };
        let mut future = pin!(future);
        poll_fn(|context| {
            let Some(party) = party() else {
                // A turn that comes later goes on to the next.
                turn.waits = None;
                return future.as_mut().poll(context);
            };
            let _permit = ready!(turn.poll_permit(context, party)).begin(Begun::of_poll());
            future.as_mut().poll(context)
        })
        .await
    }
}

const HANDED_ON: &str = "turns go from hand to hand";

/// The turns of one task, each of which is for one poll.
struct Turn<'a> {
    semaphore: &'a FairSemaphore,
    waits: Option<oneshot::Receiver<Permit>>,
}

impl Turn<'_> {
    fn poll_permit(&mut self, context: &mut Context<'_>, party: Party) -> Poll<Permit> {
        let mut receiver = match self.waits.take() {
            Some(receiver) => {
                self.semaphore.hand_out();
                receiver
            }
            None => match self.semaphore.take_if_idle(party) {
                Ok(permit) => return Poll::Ready(permit),
                Err(receiver) => {
                    context.waker().wake_by_ref();
                    receiver
                }
            },
        };
        let polled = Pin::new(&mut receiver).poll(context);
        if polled.is_pending() {
            self.waits = Some(receiver);
        }
        polled.map(|permit| permit.expect(HANDED_ON))
    }
}

impl Queue {
    /// Whether a party may have one more permit, as soon as one is free.
    fn may_have_more(held: &HashMap<Party, usize>, each: usize, party: &Party) -> bool {
        held.get(party).is_none_or(|held| *held < each)
    }

    fn wait(&mut self, party: &Party) -> oneshot::Receiver<Permit> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(party, sender);
        receiver
    }

    fn take(&mut self, party: &Party) {
        self.free -= 1;
        self.waiters.begin(party);
        *self.held.entry(party.clone()).or_default() += 1;
    }

    fn give_back(&mut self, party: &Party) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(party) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(party);
            }
        }
    }

    /// Takes a permit that is free for the next waiter that was not dropped, of the first party that may have more.
    fn next(&mut self) -> Option<(Party, oneshot::Sender<Permit>)> {
        if self.free == 0 {
            return None;
        }
        let (held, each) = (&self.held, self.each);
        let may = |party: &Party| Queue::may_have_more(held, each, party);
        let next = self.waiters.pop_of(may, |waiter| !waiter.is_closed());
        next.inspect(|(party, _)| self.take(party))
    }
}

impl Permit {
    fn begin(mut self, begun: Begun) -> Permit {
        self.begun = Some(begun);
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = {
            let mut queue = lock(&self.semaphore.0);
            queue.give_back(&self.party);
            if let Some(begun) = self.begun {
                queue.waiters.charge(&self.party, begun.elapsed());
            }
            queue.next()
        };
        if let Some(next) = next {
            self.semaphore.hand_on(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::task::Waker;
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
        assert!(many.iter_mut().all(|one| poll_now(one.as_mut()).is_none()));
        drop(poll_now(other.as_mut()).expect("its turn, before the other 100"));
        assert!(poll_now(many[0].as_mut()).is_some());
    }

    #[test]
    fn one_party_leaves_a_permit_to_the_others() {
        let semaphore = FairSemaphore::leaving_one(2);
        let held = poll_now(pin!(semaphore.acquire(party("a")))).expect("it is free");
        let mut more = pin!(semaphore.acquire(party("a")));
        assert!(poll_now(more.as_mut()).is_none());
        drop(poll_now(pin!(semaphore.acquire(party("b")))).expect("it is left for the others"));
        assert!(poll_now(more.as_mut()).is_none(), "a permit that another gives back is left, too");
        drop(held);
        let held = poll_now(more.as_mut()).expect("its turn");
        let other = poll_now(pin!(semaphore.acquire(party("b")))).expect("it is free");
        drop((held, other));
        assert!(lock(&semaphore.0).held.is_empty());
    }

    #[test]
    fn each_poll_of_a_task_has_a_turn_of_its_own() {
        let semaphore = FairSemaphore::new(1);
        let polls = Cell::new(0);
        let future = poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() < 3 { Poll::Pending } else { Poll::Ready(()) }
        });
        let waits_for_turn = Cell::new(true);
        let mut run = pin!(semaphore.in_turns(|| waits_for_turn.get().then(|| party("b")), future));
        for before in 0..2 {
            let held = poll_now(pin!(semaphore.acquire(party("a")))).expect("none is kept");
            assert!(poll_now(run.as_mut()).is_none());
            assert_eq!(polls.get(), before, "it has no turn");
            drop(held);
            assert!(poll_now(run.as_mut()).is_none());
            assert_eq!(polls.get(), before + 1);
        }
        let _held = poll_now(pin!(semaphore.acquire(party("a")))).expect("none is kept");
        waits_for_turn.set(false);
        assert!(poll_now(run.as_mut()).is_some());
    }

    #[test]
    fn a_turn_that_has_come_goes_on_when_its_task_is_dropped() {
        let semaphore = FairSemaphore::new(1);
        let held = poll_now(pin!(semaphore.acquire(party("a")))).expect("none is kept");
        {
            let mut run =
                pin!(semaphore.in_turns(|| Some(party("b")), std::future::pending::<()>()));
            assert!(poll_now(run.as_mut()).is_none());
            drop(held);
        }
        assert!(poll_now(pin!(semaphore.acquire(party("a")))).is_some());
    }

    #[test]
    fn a_turn_that_is_not_needed_any_more_goes_on() {
        let semaphore = FairSemaphore::new(1);
        let held = poll_now(pin!(semaphore.acquire(party("a")))).expect("none is kept");
        let needs_turn = Cell::new(true);
        let waits_for_turn = || needs_turn.get().then(|| party("b"));
        let mut run = pin!(semaphore.in_turns(waits_for_turn, std::future::pending::<()>()));
        assert!(poll_now(run.as_mut()).is_none());
        needs_turn.set(false);
        drop(held);
        assert!(poll_now(run.as_mut()).is_none());
        assert!(poll_now(pin!(semaphore.acquire(party("a")))).is_some());
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
