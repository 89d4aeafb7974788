// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the requests of each key against its rate: a bucket that holds as many as its burst and fills evenly.

use crate::key_policy::Rate;
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, ErrorCode, Owner};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct RateLimiter(Mutex<Buckets>);

/// When each owner's bucket is full again, of those that are not.
#[derive(Debug, Default)]
struct Buckets {
    full_at: HashMap<Owner, Instant>,
    /// Full ones are removed when there are more than this.
    prune_at: usize,
}

/// A request that was counted, for the headers of its reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counted {
    rate: Rate,
    /// Requests that may come at once now.
    remaining: u32,
    /// Until the bucket is full.
    full_in: Duration,
    /// Until there is room for this request; none for one that was let through.
    retry_in: Option<Duration>,
}

impl RateLimiter {
    /// Counts a request; one that is over the rate costs nothing.
    pub(crate) fn count(&self, owner: &Owner, rate: Rate, now: Instant) -> Counted {
        let mut buckets = lock(&self.0);
        let each = MINUTE / rate.per_minute;
        let whole = each * rate.burst;
        let full_at = buckets.full_at.get(owner).copied().unwrap_or(now).max(now);
        let after = full_at + each;
        let full_in = after.duration_since(now);
        if let Some(over) = full_in.checked_sub(whole).filter(|over| !over.is_zero()) {
            let full_in = full_at.duration_since(now);
            return Counted { rate, remaining: 0, full_in, retry_in: Some(over) };
        }
        buckets.keep(owner, after, now);
        let remaining = (whole - full_in).as_nanos() / each.as_nanos().max(1);
        let remaining = u32::try_from(remaining).unwrap_or(rate.burst);
        Counted { rate, remaining, full_in, retry_in: None }
    }

    /// Requests that may come at once now.
    pub(crate) fn remaining(&self, owner: &Owner, rate: Rate, now: Instant) -> u32 {
        let each = MINUTE / rate.per_minute;
        let full_at = lock(&self.0).full_at.get(owner).copied().unwrap_or(now).max(now);
        let free = (each * rate.burst).saturating_sub(full_at.duration_since(now));
        u32::try_from(free.as_nanos() / each.as_nanos().max(1)).unwrap_or(rate.burst)
    }
}

impl Buckets {
    fn keep(&mut self, owner: &Owner, full_at: Instant, now: Instant) {
        match self.full_at.get_mut(owner) {
            Some(kept) => *kept = full_at,
            None => _ = self.full_at.insert(owner.clone(), full_at),
        }
        if self.full_at.len() > self.prune_at {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.prune_at = (2 * self.full_at.len()).max(1024);
        }
    }
}

impl Counted {
    /// The refusal, if the request is over the rate.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let wait = self.retry_in?;
        let Rate { per_minute, burst } = self.rate;
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let text = format!(
            "this key may send {per_minute} requests a minute, {burst} of them at once; retry after {} s",
            ms.div_ceil(1_000)
        );
        Some(Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(ms))
    }

    /// `RateLimit-Policy`, `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Rate { per_minute, burst } = self.rate;
        let mut put = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value).expect("digits and signs");
            headers.insert(HeaderName::from_static(name), value);
        };
        put("ratelimit-policy", format!("{per_minute};w=60;burst={burst}"));
        put("ratelimit-limit", burst.to_string());
        put("ratelimit-remaining", self.remaining.to_string());
        put("ratelimit-reset", self.full_in.as_secs_f64().ceil().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_comes_at_once_and_the_rest_evenly() {
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        let rate = Rate { per_minute: 60, burst: 3 };
        let (a, b) = (Owner("a".into()), Owner("b".into()));
        let at = |owner: &Owner, ms: u64| {
            let counted = limiter.count(owner, rate, start + Duration::from_millis(ms));
            match counted.refusal() {
                None => Ok(counted.remaining),
                Some(error) => Err(error.retry_after_ms().unwrap()),
            }
        };
        assert_eq!([at(&a, 0), at(&a, 0), at(&a, 0)], [Ok(2), Ok(1), Ok(0)]);
        assert_eq!((at(&a, 0), at(&a, 400)), (Err(1_001), Err(601)), "a refusal costs nothing");
        assert_eq!(at(&b, 400), Ok(2), "each key has its own");
        assert_eq!((at(&a, 1_000), at(&a, 1_000)), (Ok(0), Err(1_001)));
        assert_eq!(at(&a, 60_000), Ok(2), "never more than the burst");
    }

    #[test]
    fn the_reply_says_the_rate_and_what_is_left_of_it() {
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        let rate = Rate { per_minute: 30, burst: 2 };
        let headers = |owner: &str| {
            let mut headers = HeaderMap::new();
            limiter.count(&Owner(owner.into()), rate, start).write(&mut headers);
            ["policy", "limit", "remaining", "reset"]
                .map(|name| headers[format!("ratelimit-{name}")].to_str().unwrap().to_string())
        };
        assert_eq!(headers("a"), ["30;w=60;burst=2", "2", "1", "2"]);
        assert_eq!(headers("a"), ["30;w=60;burst=2", "2", "0", "4"]);
        assert_eq!(headers("a"), ["30;w=60;burst=2", "2", "0", "4"]);
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        let rate = Rate { per_minute: 60, burst: 1 };
        for number in 0..5_000u64 {
            let now = start + Duration::from_millis(10 * number);
            limiter.count(&Owner(number.to_string()), rate, now);
        }
        assert!(lock(&limiter.0).full_at.len() <= 1_025);
    }
}
