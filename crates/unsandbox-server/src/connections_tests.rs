// SPDX-License-Identifier: MIT OR Apache-2.0
//! The choice of the connection that is closed.

use super::*;
use unsandbox_protocol::Owner;

fn address(last: u8) -> Peer {
    Peer::of_address([127, 0, 0, last].into())
}

fn key(name: &str) -> Party {
    Party::Key(Owner(name.to_string()))
}

impl Limiter {
    pub(crate) async fn admit(self: &Arc<Self>, peer: Peer) -> Place {
        let permit = self.permit().await;
        self.place(peer, permit)
    }
}

impl Handle {
    /// As [`Handle::begin_for`], for the other end of the connection.
    pub(crate) fn begin(&self) -> Exchange {
        self.begin_for(self.peer())
    }
}

/// A connection of a key, in a stage.
fn open(limiter: &Arc<Limiter>, party: &Party, stage: Stage) -> Handle {
    let handle = limiter.open(address(1));
    let exchange = handle.begin();
    exchange.count_for(party.clone());
    handle.change(|state| state.stage = stage);
    handle.connection.answered.store(false, Ordering::SeqCst);
    handle
}

#[track_caller]
fn is_next(limiter: &Limiter, handle: &Handle) {
    assert_eq!(handle.connection.state().evicted, None);
    limiter.evict_one();
    assert!(handle.connection.state().evicted.is_some());
    handle.change(|state| state.closed = true);
}

#[test]
fn connections_are_closed_in_the_order_of_stages_and_never_during_a_run() {
    let limiter = Limiter::new(100);
    let a = key("a");
    let run = open(&limiter, &a, Stage::Run);
    let reply = open(&limiter, &a, Stage::Reply);
    let [old, new] = [(); 2].map(|()| open(&limiter, &a, Stage::LongPoll));
    let body = open(&limiter, &a, Stage::Body);
    let idle = open(&limiter, &a, Stage::Idle);
    for next in [&idle, &body, &old, &new, &reply] {
        is_next(&limiter, next);
    }
    limiter.evict_one();
    assert_eq!(run.connection.state().evicted, None);
}

#[test]
fn a_new_connection_is_closed_after_idle_body_and_long_poll() {
    let limiter = Limiter::new(100);
    let peer = Party::Peer(address(1), None);
    let reply = open(&limiter, &peer, Stage::Reply);
    // They stay new, however long this test takes.
    let opened_at = |since: Instant| {
        limiter.table().new.iter_mut().for_each(|(opened, _)| *opened = since);
    };
    let [new, newer] = [(); 2].map(|()| {
        let handle = limiter.open(address(1));
        opened_at(Instant::now() + 3600 * NEW);
        handle
    });
    let poll = open(&limiter, &peer, Stage::LongPoll);
    is_next(&limiter, &poll);
    is_next(&limiter, &new);
    let body = open(&limiter, &peer, Stage::Body);
    is_next(&limiter, &body);
    // A connection that is no longer new is idle.
    opened_at(Instant::now() - NEW);
    let poll = open(&limiter, &peer, Stage::LongPoll);
    is_next(&limiter, &newer);
    is_next(&limiter, &poll);
    is_next(&limiter, &reply);
}

#[test]
fn the_party_with_the_most_connections_loses_one() {
    let limiter = Limiter::new(100);
    let few = open(&limiter, &key("few"), Stage::Idle);
    let many = [(); 3].map(|()| open(&limiter, &key("many"), Stage::Reply));
    is_next(&limiter, &many[0]);
    is_next(&limiter, &many[1]);
    // Of two parties with the same number, the one whose connection costs less to close.
    is_next(&limiter, &few);
    is_next(&limiter, &many[2]);
    assert!(limiter.table().parties.is_empty());
}

/// Whether a further request of a party evicts this connection.
#[track_caller]
fn is_closed_for(limiter: &Limiter, party: &Party, handle: &Handle) {
    assert!(!handle.is_evicted());
    assert!(limiter.evict_for(party));
    assert!(handle.is_evicted());
    handle.change(|state| state.closed = true);
}

#[test]
fn a_further_request_closes_nothing_that_its_own_party_waits_for() {
    let limiter = Limiter::new(100);
    let [a, b] = [key("a"), key("b")];
    let asked = [Stage::Idle, Stage::Body, Stage::New, Stage::Reply, Stage::Run];
    let asked = asked.map(|stage| open(&limiter, &a, stage));
    let poll = open(&limiter, &a, Stage::LongPoll);
    let idle = open(&limiter, &a, Stage::Idle);
    idle.becomes_idle();
    is_closed_for(&limiter, &a, &idle);
    is_closed_for(&limiter, &a, &poll);
    assert!(!limiter.evict_for(&a));
    // Of another party, which has fewer: that of the party with the most, as long as it has more.
    let of_b = open(&limiter, &b, Stage::Reply);
    for handle in &asked[..2] {
        is_closed_for(&limiter, &b, handle);
    }
    // Three of one party, and two with the further request.
    is_closed_for(&limiter, &b, &asked[2]);
    assert!(!limiter.evict_for(&b));
    // Of an idle connection of another party, its client loses nothing.
    of_b.becomes_idle();
    assert!(!limiter.evict_for(&a), "it has more");
    asked[3].change(|state| state.closed = true);
    is_closed_for(&limiter, &a, &of_b);
}

#[test]
fn further_requests_without_a_key_are_compared_with_each_other() {
    let limiter = Limiter::new(100);
    let [many, few] = [2, 3].map(|last| Party::Peer(address(last), None));
    let of_many = [(); 3].map(|()| open(&limiter, &many, Stage::Reply));
    let _of_few = open(&limiter, &few, Stage::Reply);
    assert!(!limiter.evict_for(&many));
    is_closed_for(&limiter, &few, &of_many[0]);
    assert!(!limiter.evict_for(&few));
}

#[test]
fn a_further_request_without_a_verified_key_may_be_of_the_client_with_the_key() {
    let limiter = Limiter::new(100);
    let of_key = [(); 3].map(|()| open(&limiter, &key("a"), Stage::Reply));
    for claimed in [None, Some(Owner("a".into()))] {
        assert!(!limiter.evict_for(&Party::Peer(address(1), claimed)));
    }
    is_closed_for(&limiter, &Party::Peer(address(2), None), &of_key[0]);
}

#[test]
fn runs_count_for_their_party_but_its_other_connections_are_closed() {
    let limiter = Limiter::new(100);
    let _runs = [(); 5].map(|()| open(&limiter, &key("a"), Stage::Run));
    let of_b = [(); 2].map(|()| open(&limiter, &key("b"), Stage::Idle));
    let poll = open(&limiter, &key("a"), Stage::LongPoll);
    is_next(&limiter, &poll);
    is_next(&limiter, &of_b[0]);
}

#[test]
fn peers_without_a_key_are_one_party_beside_the_keys_and_many_among_themselves() {
    let limiter = Limiter::new(100);
    let of_key = [(); 3].map(|()| open(&limiter, &key("a"), Stage::Idle));
    // Each has fewer than the key, all together have more.
    let [lonely, first, second, third] = [3, 2, 2, 2].map(|last| {
        let handle = limiter.open(address(last));
        handle.begin().stays_idle();
        handle
    });
    is_next(&limiter, &first);
    // The same number as the key's: the older connection is closed.
    is_next(&limiter, &of_key[0]);
    is_next(&limiter, &second);
    // Two and two again.
    is_next(&limiter, &of_key[1]);
    is_next(&limiter, &lonely);
    is_next(&limiter, &of_key[2]);
    is_next(&limiter, &third);
}

#[test]
fn a_claimed_key_is_not_its_owner() {
    let limiter = Limiter::new(100);
    let claimed = Party::Peer(address(1), Some(Owner("a".into())));
    let forged = [(); 3].map(|()| open(&limiter, &claimed, Stage::Body));
    let own = [(); 2].map(|()| open(&limiter, &key("a"), Stage::Idle));
    is_next(&limiter, &forged[0]);
    assert_eq!(own.map(|own| own.connection.state().evicted), [None; 2]);
}

#[test]
fn runs_of_a_party_have_a_share_and_all_together_seven_eighths() {
    let limiter = Limiter::new(64);
    let mut waits = Vec::new();
    for (name, share) in [("a", 48), ("b", 8), ("c", 0)] {
        let mut runs = 0;
        let refused = loop {
            let exchange = open(&limiter, &key(name), Stage::Reply).begin();
            match exchange.start_run() {
                Ok(wait) => waits.push(wait),
                Err(why) => break why,
            }
            runs += 1;
        };
        assert_eq!((runs, refused), (share, RunRefused::Share { runs, places: 64 }), "{name}");
    }
    drop(waits);
    let exchange = open(&limiter, &key("c"), Stage::Reply).begin();
    exchange.start_run().map(drop).unwrap();
    assert_eq!(exchange.handle().connection.state().stage, Stage::Reply);
}

#[test]
fn a_connection_is_idle_after_its_reply_is_sent_and_not_after_it_is_made() {
    let limiter = Limiter::new(100);
    let handle = open(&limiter, &key("a"), Stage::Reply);
    let exchange = handle.begin();
    assert!(!handle.flushed(), "an earlier reply");
    drop(exchange.clone());
    assert!(!handle.flushed());
    drop(exchange);
    assert!(!handle.is_idle());
    assert!(handle.flushed() && handle.is_idle());
    assert!(!handle.flushed());
    // The next request of the same segment has begun before that.
    drop(handle.begin());
    let _next = handle.begin();
    assert!(!handle.flushed());
}

#[test]
fn an_evicted_connection_starts_nothing() {
    let limiter = Limiter::new(100);
    let exchange = open(&limiter, &key("a"), Stage::Reply).begin();
    limiter.evict_one();
    assert_eq!(exchange.start_run().err(), Some(RunRefused::Evicted(Need::Place)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert_eq!(exchange.handle().evicted().await, Stage::Reply);
        assert_eq!(exchange.wait_in(Stage::Body, async { 1 }).await, Err(Need::Place));
        let never = std::future::pending::<()>();
        assert_eq!(exchange.wait_in(Stage::Body, never).await, Err(Need::Place));
    });
}

#[test]
fn closed_connections_are_not_counted() {
    let limiter = Limiter::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let place = limiter.admit(address(1)).await;
        let late = place.handle.begin();
        drop(place);
        late.count_for(key("a"));
        drop(late);
        assert!(limiter.table().parties.is_empty());
        limiter.all_closed().await;
    });
}
