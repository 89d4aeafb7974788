// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection limiter. It knows the party and the stage of each open connection. When all places are in use,
//! it closes a connection of the party that has the most: the least costly one, in the order of [`Stage`]. The
//! limits of tower know neither parties nor what a connection is worth.

use crate::fair_semaphore::FairSemaphore;
use crate::party::{Party, Peer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use unsandbox_protocol::share::within_share;
use unsandbox_protocol::sync::lock;

/// One place in this many is kept free for new connections: they need not wait until an evicted one has closed.
const SPARE: usize = 128;

/// Pause before the next eviction, if the last connection has not closed yet.
const EVICT_AGAIN: Duration = Duration::from_millis(100);

/// How long a stream waits, in its turn, for a place that is not evicted for it.
const FURTHER_TURN: Duration = Duration::from_millis(20);

/// How long a connection counts as new.
const NEW: Duration = Duration::from_secs(1);

/// One place in this many is never held by a synchronous run, however many parties wait: connections that cannot be
/// closed must not use up all places.
const NEVER_RUNS: usize = 8;

/// The event that a connection waits for. Connections are closed in this order, the least costly first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// The head of a request, or the reply to a request that needs no key or has none. It is closed without an answer.
    Idle,
    /// The body of a request. It is answered with 503.
    Body,
    /// The end of a job, by a long poll, or its next event. A long poll is answered with the job's present state, and a
    /// stream of events ends; its client asks again.
    LongPoll,
    /// The first head, for the first second. A new connection had no time to send a request yet, and as an idle one
    /// it would be closed first.
    New,
    /// The end of a reply that is made or sent. The reply is cut off.
    Reply,
    /// The end of a synchronous run. It is never closed, so the number of runs is bounded by a share of all places.
    Run,
}

/// Why a connection is evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Its place is needed for another connection.
    Place,
    /// Its memory is needed for a request or reply of another party.
    Memory,
}

/// All connections of a server.
pub(crate) struct Limiter {
    places: Arc<Semaphore>,
    places_len: usize,
    /// One further request of a connection at a time waits for a place, and may evict: all at once would evict too
    /// many.
    further: FairSemaphore,
    /// A place was given back.
    freed: Notify,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts up with each change. In one stage, the connection with the smaller number is there longer.
    changes: u64,
    runs: usize,
    /// Connections of all parties without a verified key. Against a key they count as one party: an attacker may
    /// have any number of addresses, but not of keys.
    unverified: usize,
    parties: HashMap<Party, Members>,
    /// Connections that may still be in [`Stage::New`], with the time of their start.
    new: VecDeque<(Instant, Weak<Connection>)>,
}

#[derive(Default)]
struct Members {
    total: usize,
    runs: usize,
    /// The connections that may be closed, first to last.
    evictable: BTreeMap<(Stage, u64), Arc<Connection>>,
}

struct Connection {
    peer: Peer,
    /// Locked after the table, where both are.
    state: Mutex<State>,
    evicted: Notify,
    /// A request has come, and its reply is not yet sent.
    asked: AtomicBool,
    /// A complete reply was given to the stream; it is sent once the stream is flushed.
    answered: AtomicBool,
    /// The reply comes in pieces as things happen, each of which is sent once the stream is flushed.
    streams: AtomicBool,
}

struct State {
    party: Party,
    stage: Stage,
    since: u64,
    /// The stage in which it was evicted, and why.
    evicted: Option<(Stage, Need)>,
    closed: bool,
}

/// A reference to a connection, for the tasks that serve it.
#[derive(Clone)]
pub(crate) struct Handle {
    limiter: Arc<Limiter>,
    connection: Arc<Connection>,
}

/// The place of a connection; released when dropped.
pub(crate) struct Place {
    pub handle: Handle,
    _permit: OwnedSemaphorePermit,
    /// Dropped after the permit.
    _freed: Freed,
}

struct Freed(Arc<Limiter>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.freed.notify_one();
    }
}

impl Limiter {
    pub(crate) fn new(places: usize) -> Arc<Limiter> {
        let semaphore = Arc::new(Semaphore::new(places));
        let further = FairSemaphore::new(1);
        Arc::new(Limiter {
            places: semaphore,
            places_len: places,
            further,
            freed: Notify::new(),
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// Waits for room for a new connection, and evicts others if there is none.
    pub(crate) async fn permit(&self) -> OwnedSemaphorePermit {
        loop {
            if !self.has_more_than_spare() {
                self.evict_one();
            }
            let place = self.places.clone().acquire_owned();
            // An evicted connection may have an answer to send first.
            if let Ok(permit) = tokio::time::timeout(EVICT_AGAIN, place).await {
                return permit.expect("the semaphore is never closed");
            }
        }
    }

    pub(crate) fn place(self: &Arc<Self>, peer: Peer, permit: OwnedSemaphorePermit) -> Place {
        Place { handle: self.open(peer), _permit: permit, _freed: Freed(self.clone()) }
    }

    /// Waits for a place for a request on a connection whose own place is in use by another one: a stream of HTTP/2
    /// counts as a connection does. Those that wait take turns between parties. Unlike a new connection, it can wait
    /// for the end of another request of its party, and does so rather than have that one fail.
    pub(crate) async fn admit_further(self: &Arc<Self>, peer: Peer, party: Party) -> Place {
        if let Some(permit) = self.try_permit() {
            return self.place(peer, permit);
        }
        let permit = loop {
            let _turn = self.further.acquire(party.clone()).await;
            let mut freed = pin!(self.freed.notified());
            // Registered before the check, so that a place that is freed between the two is not missed.
            freed.as_mut().enable();
            if let Some(permit) = self.try_permit() {
                break permit;
            }
            if !self.evict_for(&party) {
                // Not in the queue for places: those that are evicted for others are not for this one.
                let _ = tokio::time::timeout(FURTHER_TURN, freed).await;
            } else if let Ok(permit) =
                tokio::time::timeout(EVICT_AGAIN, self.places.clone().acquire_owned()).await
            {
                break permit.expect("the semaphore is never closed");
            }
        };
        self.place(peer, permit)
    }

    /// How many connections wait for what; those that are evicted are in none.
    pub(crate) fn stages(&self) -> [(&'static str, usize); 6] {
        let table = self.table();
        let waiting = |stage: Stage| {
            let members = table.parties.values();
            members.flat_map(|it| it.evictable.keys()).filter(|(at, _)| *at == stage).count()
        };
        [
            ("idle", waiting(Stage::Idle)),
            ("body", waiting(Stage::Body)),
            ("long_poll", waiting(Stage::LongPoll)),
            ("new", waiting(Stage::New)),
            ("reply", waiting(Stage::Reply)),
            ("run", table.runs),
        ]
    }

    /// The most connections at once.
    pub(crate) fn places_len(&self) -> usize {
        self.places_len
    }

    fn has_more_than_spare(&self) -> bool {
        self.places.available_permits() > self.places_len / SPARE
    }

    /// A place that is not one of those for new connections.
    fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        let places = Some(&self.places).filter(|_| self.has_more_than_spare());
        places.and_then(|places| places.clone().try_acquire_owned().ok())
    }

    fn open(self: &Arc<Self>, peer: Peer) -> Handle {
        let mut table = self.table();
        table.age();
        let state = State {
            party: Party::Peer(peer, None),
            stage: Stage::New,
            since: table.count_up(),
            evicted: None,
            closed: false,
        };
        let connection = Arc::new(Connection {
            peer,
            state: Mutex::new(state),
            evicted: Notify::new(),
            asked: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            streams: AtomicBool::new(false),
        });
        table.insert(&connection, &connection.state());
        table.new.push_back((Instant::now(), Arc::downgrade(&connection)));
        Handle { limiter: self.clone(), connection }
    }

    /// Resolves when the last connection is closed.
    pub(crate) async fn all_closed(&self) {
        let all = u32::try_from(self.places_len).unwrap_or(u32::MAX);
        let _ = self.places.acquire_many(all).await;
    }

    /// Evicts the connection that is the least costly to close.
    fn evict_one(&self) {
        let mut table = self.table();
        table.age();
        if let Some(connection) = table.victim() {
            table.evict(&connection, Need::Place);
        }
    }

    /// Evicts a connection for a further request of a party, if there is one that may be closed for it.
    fn evict_for(&self, party: &Party) -> bool {
        let mut table = self.table();
        table.age();
        let victim = table.victim_for(party);
        if let Some(connection) = &victim {
            table.evict(connection, Need::Place);
        }
        victim.is_some()
    }
}

impl Table {
    fn count_up(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn insert(&mut self, connection: &Arc<Connection>, state: &State) {
        if state.closed {
            return;
        }
        let members = self.parties.entry(state.party.clone()).or_default();
        members.total += 1;
        self.unverified += usize::from(!state.party.is_verified());
        if state.stage == Stage::Run {
            members.runs += 1;
            self.runs += 1;
        } else if state.evicted.is_none() {
            members.evictable.insert((state.stage, state.since), connection.clone());
        }
    }

    fn remove(&mut self, state: &State) {
        let Some(members) = self.parties.get_mut(&state.party).filter(|_| !state.closed) else {
            return;
        };
        members.total -= 1;
        self.unverified -= usize::from(!state.party.is_verified());
        if state.stage == Stage::Run {
            members.runs -= 1;
            self.runs -= 1;
        } else {
            members.evictable.remove(&(state.stage, state.since));
        }
        if members.total == 0 {
            self.parties.remove(&state.party);
        }
    }

    /// Evicts a connection.
    fn evict(&mut self, connection: &Arc<Connection>, need: Need) {
        let mut state = connection.state();
        self.remove(&state);
        state.evicted = state.evicted.or(Some((state.stage, need)));
        self.insert(connection, &state);
        connection.evicted.notify_waiters();
    }

    /// Moves connections that are no longer new, and have sent no request, to [`Stage::Idle`].
    fn age(&mut self) {
        while let Some((since, connection)) = self.new.front()
            && since.elapsed() >= NEW
        {
            let connection = connection.upgrade();
            self.new.pop_front();
            let Some(connection) = connection else { continue };
            let mut state = connection.state();
            if state.stage == Stage::New {
                self.remove(&state);
                state.stage = Stage::Idle;
                self.insert(&connection, &state);
            }
        }
    }

    /// The first connection that may be closed, of the party that has the most. It visits all parties, and is
    /// called only when every place is in use.
    fn victim(&self) -> Option<Arc<Connection>> {
        let candidates = self.parties.iter().filter_map(|(party, members)| {
            let (first, connection) = members.evictable.first_key_value()?;
            let group = if party.is_verified() { members.total } else { self.unverified };
            Some(((group, members.total, Reverse(*first)), connection))
        });
        candidates.max_by_key(|(rank, _)| *rank).map(|(_, connection)| connection.clone())
    }

    /// The connection that may be closed for a further request of a party: that of a party that has more than this one
    /// would have, or one whose client loses nothing.
    fn victim_for(&self, party: &Party) -> Option<Arc<Connection>> {
        let unverified = self.unverified + usize::from(!party.is_verified());
        let rank = |of: &Party, more| {
            let total = self.parties.get(of).map_or(0, |members| members.total) + more;
            (if of.is_verified() { total } else { unverified }, total)
        };
        let first = self.victim().filter(|first| {
            let state = first.state();
            // Without a verified key, it may be of the client that waits for the other one.
            let is_own = matches!(party, Party::Peer(peer, _) if *peer == first.peer);
            first.loses_nothing(&state) || (!is_own && rank(&state.party, 0) > rank(party, 1))
        });
        first.or_else(|| {
            let own = self.parties.get(party)?.evictable.values();
            own.into_iter().find(|own| own.loses_nothing(&own.state())).cloned()
        })
    }
}

/// Why a synchronous run is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunRefused {
    /// Its connection is evicted.
    Evicted(Need),
    /// The party already waits for `runs` runs; the server has `places` places.
    Share { runs: usize, places: usize },
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether its client has asked nothing, or gets an answer even if the connection is evicted.
    fn loses_nothing(&self, state: &State) -> bool {
        match state.stage {
            Stage::Idle => !self.asked.load(Ordering::SeqCst),
            Stage::LongPoll => true,
            Stage::Body | Stage::New | Stage::Reply | Stage::Run => false,
        }
    }
}

impl Handle {
    /// Changes the state of the connection. Returns the stage in which it was evicted and why, if it was.
    fn change(&self, to: impl FnOnce(&mut State)) -> Option<(Stage, Need)> {
        let mut table = self.limiter.table();
        let mut state = self.connection.state();
        table.remove(&state);
        to(&mut state);
        state.since = table.count_up();
        table.insert(&self.connection, &state);
        state.evicted
    }

    /// Begins the exchange of a request, after its head was read; `peer` is the client, who may be behind a proxy.
    pub(crate) fn begin_for(&self, peer: Peer) -> Exchange {
        self.connection.asked.store(true, Ordering::SeqCst);
        self.connection.answered.store(false, Ordering::SeqCst);
        self.connection.streams.store(false, Ordering::SeqCst);
        Exchange(Arc::new(Inner { handle: self.clone(), peer }))
    }

    pub(crate) fn peer(&self) -> Peer {
        self.connection.peer
    }

    /// The party that the connection counts for.
    pub(crate) fn party(&self) -> Party {
        self.connection.state().party.clone()
    }

    /// The request has ended, and its connection waits for the next.
    pub(crate) fn becomes_idle(&self) {
        self.connection.asked.store(false, Ordering::SeqCst);
        self.change(|state| state.stage = Stage::Idle);
    }

    /// Evicts the connection for the memory of its request or reply, unless it waits for a synchronous run.
    pub(crate) fn evict(&self) {
        let mut table = self.limiter.table();
        let stage = self.connection.state().stage;
        if stage != Stage::Run {
            table.evict(&self.connection, Need::Memory);
        }
    }

    /// Called when everything written so far is sent. Returns whether that was the end of a reply, or of a piece of one
    /// that waits for the next.
    pub(crate) fn flushed(&self) -> bool {
        let answered = self.connection.answered.swap(false, Ordering::SeqCst);
        if answered {
            self.becomes_idle();
        }
        answered || self.connection.streams.load(Ordering::SeqCst)
    }

    /// Resolves when this connection is evicted, with the stage in which that happened.
    pub(crate) async fn evicted(&self) -> Stage {
        loop {
            let mut evicted = pin!(self.connection.evicted.notified());
            // Registered before the check, so that no eviction between the two is missed.
            evicted.as_mut().enable();
            if let Some((stage, _)) = self.connection.state().evicted {
                return stage;
            }
            evicted.await;
        }
    }

    /// A request gets the place of its connection, or of an earlier request.
    pub(crate) fn takes_request(&self) {
        self.connection.asked.store(true, Ordering::SeqCst);
        self.change(|state| state.stage = Stage::Reply);
    }

    pub(crate) fn is_evicted(&self) -> bool {
        self.connection.state().evicted.is_some()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.connection.state().stage == Stage::Idle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handle.change(|state| state.closed = true);
    }
}

/// One request of a connection and its reply, until the reply is complete or abandoned. Clones are the same exchange.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Inner>);

struct Inner {
    handle: Handle,
    /// The client: the other end of the connection, or who is behind a trusted proxy.
    peer: Peer,
}

/// A wait for a synchronous run; the reply follows.
pub(crate) struct RunWait(Exchange);

impl Exchange {
    pub(crate) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    pub(crate) fn peer(&self) -> Peer {
        self.0.peer
    }

    /// The party that the connection counts for.
    pub(crate) fn party(&self) -> Party {
        self.handle().party()
    }

    pub(crate) fn count_for(&self, party: Party) {
        if self.party() != party {
            self.handle().change(|state| state.party = party);
        }
    }

    /// Lets the connection be closed as an idle one while it is answered. A connection that is idle already keeps its
    /// place in the order.
    pub(crate) fn stays_idle(&self) {
        if !self.handle().is_idle() {
            self.handle().change(|state| state.stage = Stage::Idle);
        }
    }

    /// Marks the reply as one that comes in pieces: between them, its client reads nothing for as long as nothing happens.
    pub(crate) fn streams(&self) {
        self.handle().connection.streams.store(true, Ordering::SeqCst);
    }

    /// Waits in a stage; the reply is the next stage. An error if the connection is evicted.
    pub(crate) async fn wait_in<T>(
        &self,
        stage: Stage,
        waiting: impl Future<Output = T>,
    ) -> Result<T, Need> {
        self.handle().change(|state| state.stage = stage);
        let (mut waiting, mut evicted) = (pin!(waiting), pin!(self.handle().evicted()));
        let done = std::future::poll_fn(|context| match waiting.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => evicted.as_mut().poll(context).map(|_| None),
        })
        .await;
        match self.handle().change(|state| state.stage = Stage::Reply) {
            Some((_, need)) => Err(need),
            None => Ok(done.expect("it is given up for an eviction alone")),
        }
    }

    /// Marks the connection as waiting for a synchronous run, so that it is not closed, until the returned value is
    /// dropped. Refused beyond the share of its party.
    pub(crate) fn start_run(&self) -> Result<RunWait, RunRefused> {
        let Handle { limiter, connection } = self.handle();
        let mut table = limiter.table();
        let mut state = connection.state();
        if let Some((_, need)) = state.evicted {
            return Err(RunRefused::Evicted(need));
        }
        let runs = table.parties.get(&state.party).map_or(0, |members| members.runs);
        let places = limiter.places_len;
        let left = places.saturating_sub(table.runs + 1);
        if left < places / NEVER_RUNS || !within_share(runs as u64 + 1, left as u64) {
            return Err(RunRefused::Share { runs, places });
        }
        table.remove(&state);
        state.stage = Stage::Run;
        table.insert(connection, &state);
        Ok(RunWait(self.clone()))
    }
}

impl Drop for RunWait {
    fn drop(&mut self) {
        self.0.handle().change(|state| state.stage = Stage::Reply);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.handle.connection.answered.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
