// SPDX-License-Identifier: MIT OR Apache-2.0
//! How memory is shared between parties, and which reservation is evicted.

use super::*;
use crate::connections::{Limiter, Stage};
use crate::party::Peer;
use std::future::poll_fn;
use std::task::Poll;
use unsandbox_protocol::Owner;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

fn key(name: &str) -> Party {
    Party::Key(Owner(name.to_string()))
}

fn peer(last: u8) -> Party {
    Party::Peer(Peer::of_address([127, 0, 0, last].into()), None)
}

/// A request that is at its reply.
async fn exchange(limiter: &Arc<Limiter>, party: Party) -> Exchange {
    let place = limiter.admit(Peer::User(None)).await;
    let exchange = place.handle.begin();
    exchange.count_for(party);
    exchange.wait_in(Stage::Body, async {}).await.unwrap();
    exchange
}

async fn is_evicted(exchange: &Exchange) -> bool {
    let mut evicted = pin!(exchange.handle().evicted());
    poll_fn(|context| Poll::Ready(evicted.as_mut().poll(context).is_ready())).await
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn a_party_has_at_most_three_times_what_stays_free() {
    block_on(async {
        let (limiter, budget) = (Limiter::new(100), Budget::new(1000, NOW, LONG));
        let reserve = async |party| budget.reserve(&exchange(&limiter, party).await);
        let [mut a, mut other] = [reserve(key("a")).await, reserve(key("a")).await];
        assert!(a.try_enlarge(1) && a.try_enlarge(500));
        assert!(other.try_enlarge(250), "750 of 1000");
        assert!(!other.enlarge(251).await);
        let mut b = reserve(key("b")).await;
        assert!(!b.try_enlarge(188) && b.try_enlarge(187));
        let mut c = reserve(key("c")).await;
        assert!(c.try_enlarge(47), "there is something for everyone");
        drop(a);
        assert!(b.try_enlarge(500));
        drop((b, c, other));
        assert!(budget.used().parties.is_empty());
        let mut all = reserve(key("a")).await;
        assert!(all.enlarge(2000).await, "what is too large counts as a whole share");
        assert_eq!(all.bytes, 750);
    });
}

#[test]
fn a_large_reservation_does_not_block_small_ones() {
    block_on(async {
        let (limiter, budget) = (Limiter::new(100), Budget::new(1000, LONG, LONG));
        let [a, b, c] = ["a", "b", "c"].map(|name| exchange(&limiter, key(name)));
        let (a, b, c) = (a.await, b.await, c.await);
        let (mut held, mut large) = (budget.reserve(&a), budget.reserve(&b));
        assert!(held.enlarge(750).await);
        let mut large = pin!(large.enlarge(700));
        poll_fn(|context| {
            assert!(large.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(budget.reserve(&c).enlarge(100).await);
        assert!(!is_evicted(&a).await, "it is safe for some time");
        drop(held);
        assert!(large.await);
    });
}

#[test]
fn the_oldest_reservation_of_the_largest_party_is_evicted() {
    block_on(async {
        let (limiter, budget) = (Limiter::new(100), Budget::new(1000, NOW, NOW));
        let (old, new) = (exchange(&limiter, key("a")).await, exchange(&limiter, key("a")).await);
        let b = exchange(&limiter, key("b")).await;
        let [mut first, mut second, mut of_b] = [&old, &new, &b].map(|it| budget.reserve(it));
        assert!(first.enlarge(400).await && second.enlarge(350).await);
        assert!(of_b.enlarge(100).await && !of_b.enlarge(200).await);
        assert!(is_evicted(&old).await && !is_evicted(&new).await);
        drop(first);
        assert!(of_b.enlarge(200).await);
        // Nothing is evicted for a party that would then have more.
        assert!(!of_b.enlarge(600).await);
        assert!(!is_evicted(&new).await);
    });
}

#[test]
fn peers_without_a_key_are_one_party_beside_the_keys() {
    block_on(async {
        let (limiter, budget) = (Limiter::new(100), Budget::new(1000, NOW, NOW));
        let a = exchange(&limiter, key("a")).await;
        let (many, few) = (exchange(&limiter, peer(1)).await, exchange(&limiter, peer(2)).await);
        let [mut of_a, mut of_many, mut of_few] = [&a, &many, &few].map(|it| budget.reserve(it));
        assert!(of_a.enlarge(300).await && of_many.enlarge(290).await && of_few.enlarge(280).await);
        let b = exchange(&limiter, key("b")).await;
        assert!(!budget.reserve(&b).enlarge(200).await);
        assert!(is_evicted(&many).await && !is_evicted(&a).await && !is_evicted(&few).await);
    });
}

#[test]
fn a_party_is_compared_by_its_total_including_the_new_bytes() {
    for [large, small] in [[key("a"), key("b")], [peer(1), peer(2)], [key("a"), peer(1)]] {
        block_on(async {
            let (limiter, budget) = (Limiter::new(100), Budget::new(1000, NOW, NOW));
            let mut held = Vec::new();
            for (party, bytes) in [(&large, 300), (&large, 290), (&small, 120)] {
                let exchange = exchange(&limiter, party.clone()).await;
                let mut memory = budget.reserve(&exchange);
                assert!(memory.enlarge(bytes).await);
                held.push((exchange, memory));
            }
            let more = exchange(&limiter, large).await;
            assert!(!budget.reserve(&more).enlarge(100).await);
            assert!(!is_evicted(&held[2].0).await, "it has less");
            assert!(!held[2].1.enlarge(320).await);
            assert!(is_evicted(&held[0].0).await, "it has more");
        });
    }
}

#[test]
fn the_next_largest_party_is_evicted_while_the_largest_frees_memory() {
    block_on(async {
        let (limiter, budget) = (Limiter::new(100), Budget::new(1000, NOW, NOW));
        let [a, b, c] = ["a", "b", "c"].map(|name| exchange(&limiter, key(name)));
        let (a, b, c) = (a.await, b.await, c.await);
        let [mut of_a, mut of_b, mut of_c] = [&a, &b, &c].map(|it| budget.reserve(it));
        assert!(of_a.enlarge(500).await && of_b.enlarge(300).await);
        assert!(!of_c.enlarge(200).await);
        assert!(is_evicted(&a).await && !is_evicted(&b).await);
        assert!(!of_c.enlarge(200).await);
        assert!(is_evicted(&b).await);
    });
}
