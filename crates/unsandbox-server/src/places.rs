// SPDX-License-Identifier: MIT OR Apache-2.0
//! The places of one connection in the connection limiter. With HTTP/1 it is one. With HTTP/2 each request that is
//! answered has one, so that a hundred streams of one connection count as a hundred connections do; between requests
//! the connection keeps one, by which it can be evicted as an idle connection.

use crate::connections::{Handle, Limiter, Place, Stage};
use crate::party::{Party, Peer};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use unsandbox_protocol::sync::lock;

pub(crate) struct Places {
    limiter: Arc<Limiter>,
    /// The first place. With HTTP/1 it is the only one.
    first: Handle,
    free: Mutex<Free>,
    changed: Notify,
    /// A request has come.
    asked: AtomicBool,
    /// The connection speaks HTTP/2.
    multiplexed: AtomicBool,
}

struct Free {
    /// The place of the connection, while no stream has it. Then no stream waits for one, except where it is evicted.
    place: Option<Place>,
    since: Instant,
    /// Streams that have a place.
    held: usize,
    /// Streams that wait for a place. The last stream that has one leaves its place to the first of them: the
    /// connection would count as idle before they are answered.
    waiters: VecDeque<oneshot::Sender<StreamPlace>>,
}

/// The place of a stream, until it is dropped.
pub(crate) struct StreamPlace {
    places: Arc<Places>,
    place: Option<Place>,
}

impl Places {
    pub(crate) fn new(limiter: Arc<Limiter>, place: Place) -> Arc<Places> {
        let first = place.handle.clone();
        let (since, waiters) = (Instant::now(), VecDeque::new());
        let free = Mutex::new(Free { place: Some(place), since, held: 0, waiters });
        let (asked, multiplexed) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Places { limiter, first, free, changed: Notify::new(), asked, multiplexed })
    }

    /// The connection, for a request that comes alone (HTTP/1).
    pub(crate) fn alone(&self) -> &Handle {
        self.asked.store(true, Ordering::SeqCst);
        &self.first
    }

    /// Waits for the place of a stream (HTTP/2). The first one gets that of the connection. `party` is that of its
    /// request: behind a proxy, one connection has requests of many.
    pub(crate) async fn of_stream(
        self: &Arc<Self>,
        peer: Peer,
        party: impl FnOnce() -> Party,
    ) -> StreamPlace {
        self.asked.store(true, Ordering::SeqCst);
        self.multiplexed.store(true, Ordering::SeqCst);
        let first = lock(&self.free).take_or_wait();
        let place = match first {
            Ok(place) => self.held(place),
            Err(left) => {
                let further = self.limiter.admit_further(peer, party());
                tokio::select! {
                    left = left => left.expect("its sender is kept until it has sent"),
                    further = further => {
                        lock(&self.free).held += 1;
                        self.held(further)
                    }
                }
            }
        };
        self.changed.notify_waiters();
        place
    }

    fn held(self: &Arc<Self>, place: Place) -> StreamPlace {
        StreamPlace { places: self.clone(), place: Some(place) }
    }

    /// Leaves a place to a stream that waits, and returns it if there is none. An evicted one ends with its connection.
    fn leave(self: &Arc<Self>, free: &mut Free, mut place: Place) -> Option<Place> {
        while !place.handle.is_evicted() {
            let Some(waiter) = free.waiters.pop_front() else { break };
            place.handle.takes_request();
            match waiter.send(self.held(place)) {
                Ok(()) => {
                    free.held += 1;
                    return None;
                }
                Err(mut unwanted) => place = unwanted.place.take()?,
            }
        }
        Some(place)
    }

    /// The other end of the connection.
    pub(crate) fn peer(&self) -> Peer {
        self.first.peer()
    }

    /// The party of the connection, by its first request that has ended or is answered.
    pub(crate) fn party(&self) -> Party {
        self.first.party()
    }

    /// Called when everything written so far is sent. Whether the time for a reply begins anew.
    pub(crate) fn flushed(&self) -> bool {
        // Each stream of HTTP/2 has a time of its own, and its end is known without the flush.
        self.is_multiplexed() || self.first.flushed()
    }

    /// Whether a request has come.
    pub(crate) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::SeqCst)
    }

    /// Whether no request is answered.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.free).place.as_ref().is_some_and(|place| place.handle.is_idle())
    }

    /// Resolves when the connection is evicted, while it has no streams, with the stage in which that happened.
    pub(crate) async fn evicted(&self) -> Stage {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let handle = lock(&self.free).place.as_ref().map(|place| place.handle.clone());
            let Some(handle) = handle else {
                changed.await;
                continue;
            };
            tokio::select! {
                stage = handle.evicted() => return stage,
                () = changed => {}
            }
        }
    }

    /// Resolves when the connection speaks HTTP/2 and has had no stream for this long. With HTTP/1, hyper's timeout
    /// for the next head includes this time.
    pub(crate) async fn without_streams(&self, time: Duration) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let since = {
                let free = lock(&self.free);
                free.place.as_ref().filter(|_| self.is_multiplexed()).map(|_| free.since)
            };
            let Some(since) = since else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(since + time) => return,
                () = changed => {}
            }
        }
    }

    /// Resolves when the connection turns out to speak HTTP/2.
    pub(crate) async fn multiplexed(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_multiplexed() {
                return;
            }
            changed.await;
        }
    }
}

impl Free {
    fn take_or_wait(&mut self) -> Result<Place, oneshot::Receiver<StreamPlace>> {
        if let Some(place) = self.place.take() {
            self.held += 1;
            place.handle.takes_request();
            return Ok(place);
        }
        // Streams that were reset, or have found another place, wait no longer.
        self.waiters.retain(|waiter| !waiter.is_closed());
        let (sender, receiver) = oneshot::channel();
        self.waiters.push_back(sender);
        Err(receiver)
    }
}

impl StreamPlace {
    pub(crate) fn handle(&self) -> &Handle {
        &self.place.as_ref().expect("until it is dropped").handle
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut free = lock(&self.places.free);
        free.held -= 1;
        // The last one is that of the connection again; the others are given back.
        if free.held == 0
            && let Some(place) = self.places.leave(&mut free, place)
        {
            place.handle.becomes_idle();
            free.place = Some(place);
            free.since = Instant::now();
        }
        drop(free);
        self.places.changed.notify_waiters();
    }
}
