// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connections that are open, and which of them has to go when there is no place for another: one that
//! waits for nothing, and rather a stranger's than that of somebody with a key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Everyone who could go, the first to go first: strangers before holders of keys, and of either whoever
/// has been quiet longest.
#[derive(Default)]
pub(crate) struct Crowd {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next: u64,
    seats: BTreeMap<Place, Arc<Seat>>,
}

/// Whether its holder has shown a valid key, and since when it has been quiet.
type Place = (bool, u64);

/// One connection.
#[derive(Default)]
pub(crate) struct Seat {
    state: Mutex<State>,
    leave: Notify,
}

#[derive(Default)]
struct State {
    /// While it stands in the line.
    place: Option<Place>,
    phase: Phase,
    known: bool,
    evicted: bool,
    gone: bool,
}

/// What a connection is about.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Phase {
    /// It has not asked for anything.
    #[default]
    Silent,
    /// It has asked, and is not let in yet, or is a stranger.
    Heard,
    /// It waits for the answer to a request that was let in.
    Busy,
    /// It has had its answers.
    Idle,
}

impl Crowd {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("no panic under this lock")
    }

    pub(crate) fn enter(&self) -> Arc<Seat> {
        let seat = Arc::new(Seat::default());
        self.stand(&seat, Phase::Silent);
        seat
    }

    /// Puts a seat at the end of the line.
    fn stand(&self, seat: &Arc<Seat>, phase: Phase) {
        let mut line = self.line();
        let mut state = seat.state();
        if let Some(old) = state.place.take() {
            line.seats.remove(&old);
        }
        if state.gone {
            return;
        }
        let place = (state.known, line.next);
        line.next += 1;
        (state.place, state.phase) = (Some(place), phase);
        line.seats.insert(place, seat.clone());
    }

    /// Takes a seat out of the line.
    fn step_out(&self, seat: &Seat, change: impl FnOnce(&mut State)) {
        let mut line = self.line();
        let mut state = seat.state();
        if let Some(place) = state.place.take() {
            line.seats.remove(&place);
        }
        change(&mut state);
    }

    pub(crate) fn left(&self, seat: &Seat) {
        self.step_out(seat, |state| state.gone = true);
    }

    /// Tells the first in the line to go.
    pub(crate) fn evict_first(&self) {
        let mut line = self.line();
        let Some((_, seat)) = line.seats.pop_first() else { return };
        let mut state = seat.state();
        state.place = None;
        state.evicted = true;
        seat.leave.notify_one();
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// Comes when this connection has to make room.
    pub(crate) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.state().evicted
    }
}

/// One request of a connection, until its reply is sent or given up. Clones are the same request.
#[derive(Clone)]
pub(crate) struct Visit {
    inner: Arc<Inner>,
}

struct Inner {
    crowd: Arc<Crowd>,
    seat: Arc<Seat>,
}

impl Visit {
    pub(crate) fn begin(crowd: &Arc<Crowd>, seat: &Arc<Seat>) -> Visit {
        // Its place in the line is kept: to ask is no reason to stay.
        seat.state().phase = Phase::Heard;
        Visit { inner: Arc::new(Inner { crowd: crowd.clone(), seat: seat.clone() }) }
    }

    /// From here on the connection stays until the reply is sent.
    pub(crate) fn let_in(&self) {
        self.inner.crowd.step_out(&self.inner.seat, |state| state.phase = Phase::Busy);
    }

    /// Its key is valid: a signature is known to be good only once the body is there.
    pub(crate) fn has_shown_its_key(&self) {
        self.inner.seat.state().known = true;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.seat.is_evicted() {
            self.seat.state().phase = Phase::Idle;
        } else {
            self.crowd.stand(&self.seat, Phase::Idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_go_before_holders_of_keys_and_whoever_waits_stays() {
        let crowd = Arc::new(Crowd::default());
        let [busy, keyed, silent, asked] = [(); 4].map(|()| crowd.enter());
        let waiting = Visit::begin(&crowd, &busy);
        waiting.let_in();
        let visit = Visit::begin(&crowd, &keyed);
        visit.let_in();
        visit.has_shown_its_key();
        drop(visit);
        let forger = crowd.enter();
        let visit = Visit::begin(&crowd, &forger);
        visit.let_in();
        drop(visit);
        drop(Visit::begin(&crowd, &asked));
        let unanswered = crowd.enter();
        let _visit = Visit::begin(&crowd, &unanswered);
        for expected in [&silent, &forger, &asked, &unanswered, &keyed] {
            assert!(!expected.is_evicted());
            crowd.evict_first();
            assert!(expected.is_evicted());
        }
        crowd.evict_first();
        assert!(!busy.is_evicted());
        drop(waiting);
        crowd.evict_first();
        assert!(busy.is_evicted());
    }

    #[test]
    fn whoever_has_left_is_in_no_line() {
        let crowd = Arc::new(Crowd::default());
        let seat = crowd.enter();
        drop(Visit::begin(&crowd, &seat));
        let late = Visit::begin(&crowd, &seat);
        crowd.left(&seat);
        drop(late);
        assert!(crowd.line().seats.is_empty());
    }
}
