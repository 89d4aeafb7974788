// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GET /usage`: what a key may have, what it has now, and what it has used.

use crate::admission::Admitted;
use crate::reply::{self, Refusal};
use crate::state::State;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::Response;
use std::sync::Arc;
use std::time::Instant;
use unsandbox_protocol::usage::{KeyAllowance, KeyUsage};
use unsandbox_protocol::{NetworkMode, Owner, wire};

pub(crate) async fn usage(
    axum::extract::State(state): axum::extract::State<Arc<State>>,
    Extension(admitted): Extension<Admitted>,
) -> Result<Response<Body>, Refusal> {
    let owner = admitted.caller.owner;
    let (backend, asked) = (state.backend.clone(), owner.clone());
    let ask = move || backend.gauges_of(&asked);
    let now = state.workers.question(admitted.exchange.party(), ask).await?;
    let rate = state.keys.now().policy(&owner).rate;
    let mut usage = KeyUsage {
        key: Some(admitted.caller.label).filter(|label| !label.is_empty()),
        requests_remaining: rate
            .map(|rate| state.rates.remaining(&owner, rate, Instant::now()).into()),
        since: state.since,
        limits: allowance(&state, &owner),
        ..state.observer.totals.of(&owner)
    };
    usage.set_now(&now);
    Ok(reply::json(wire::encode_usage(&usage)))
}

fn allowance(state: &State, owner: &Owner) -> KeyAllowance {
    let set = state.keys.now();
    let policy = set.policy(owner);
    let caps = state.caps.and(&policy.caps);
    let (concurrency, queue) = state.places_of(&policy.quota);
    let names = |names: &Vec<&str>| names.iter().map(ToString::to_string).collect();
    KeyAllowance {
        concurrency: concurrency as u64,
        reserved: policy.quota.reserved as u64,
        queue: queue as u64,
        weight: policy.quota.weight.into(),
        requests_per_minute: policy.rate.map(|rate| rate.per_minute.into()),
        burst: policy.rate.map(|rate| rate.burst.into()),
        max_ttl: caps.ttl_seconds,
        max_limits: caps.limits,
        network_mode: policy.network_mode.unwrap_or(NetworkMode::Semitrusted).as_str().to_string(),
        languages: policy.languages.as_ref().map(names),
    }
}
