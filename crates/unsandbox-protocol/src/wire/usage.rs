// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reply to `GET /usage`: what a key may have of a server, what it has now, and what it has used.

use super::json::Writer;
use crate::gauges::OwnerGauges;
use crate::limits::{LIMIT_TABLE, Limits};

/// What a key may have. `None` is without a limit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyAllowance {
    /// Programs at once.
    pub concurrency: u64,
    /// Of those, places that no other key gets.
    pub reserved: u64,
    /// Submissions that may wait.
    pub queue: u64,
    /// Submissions that start in one turn of the key.
    pub weight: u64,
    /// Requests in a minute.
    pub requests_per_minute: Option<u64>,
    /// Requests that may come at once.
    pub burst: Option<u64>,
    /// The largest ttl in seconds.
    pub max_ttl: i64,
    /// The largest limits of a run.
    pub max_limits: Limits,
    /// `zerotrust`, or `semitrusted` for both.
    pub network_mode: String,
    /// The languages that it may use.
    pub languages: Option<Vec<String>>,
}

/// What a key has used since the server started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyTotals {
    /// Runs that have ended, by their status.
    pub runs: Vec<(String, u64)>,
    /// Processor time of the programs.
    pub cpu_time_ms: u64,
    /// Wall time of the programs.
    pub wall_time_ms: u64,
}

/// All that `GET /usage` says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyUsage {
    /// The short name of the key, as in the server's log; empty on a server without keys.
    pub key: String,
    /// What it may have.
    pub allowed: KeyAllowance,
    /// What it has now.
    pub now: OwnerGauges,
    /// Requests that may come at once now; `None` without a limit.
    pub requests_remaining: Option<u64>,
    /// When the server started, in Unix seconds.
    pub since: i64,
    /// What it has used since then.
    pub used: KeyTotals,
}

/// The reply to `GET /usage`.
pub fn encode_usage(usage: &KeyUsage) -> String {
    Writer::document(|w| {
        w.text_or_null("key", Some(usage.key.as_str()).filter(|key| !key.is_empty()));
        w.number("running", usage.now.running);
        w.number("waiting", usage.now.waiting);
        w.number("kept_jobs", usage.now.kept_jobs);
        w.number("kept_bytes", usage.now.kept_bytes);
        w.number_or_null("requests_remaining", usage.requests_remaining);
        w.number("since", usage.since);
        w.object("runs", |w| {
            usage.used.runs.iter().for_each(|(status, count)| w.number(status, count));
        });
        w.number("cpu_time_ms", usage.used.cpu_time_ms);
        w.number("wall_time_ms", usage.used.wall_time_ms);
        w.object("limits", |w| write_allowance(w, &usage.allowed));
    })
}

fn write_allowance(w: &mut Writer, allowed: &KeyAllowance) {
    w.number("concurrency", allowed.concurrency);
    w.number("reserved", allowed.reserved);
    w.number("queue", allowed.queue);
    w.number("weight", allowed.weight);
    w.number_or_null("requests_per_minute", allowed.requests_per_minute);
    w.number_or_null("burst", allowed.burst);
    w.number("max_ttl", allowed.max_ttl);
    w.object("max_limits", |w| {
        for row in LIMIT_TABLE {
            w.number_if(row.name, allowed.max_limits.get(row.name));
        }
    });
    w.text("network_mode", &allowed.network_mode);
    match &allowed.languages {
        Some(names) => w.texts("languages", names.iter()),
        None => w.null("languages"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_sees_its_limits_and_what_it_has_of_them() {
        let mut usage = KeyUsage { key: "1a2b3c4d".into(), since: 7, ..KeyUsage::default() };
        usage.allowed.network_mode = "zerotrust".into();
        usage.allowed.max_limits.memory_bytes = Some(1 << 26);
        usage.allowed.languages = Some(vec!["bash".into()]);
        usage.used.runs = vec![("completed".into(), 2)];
        assert_eq!(
            encode_usage(&usage),
            "{\"key\":\"1a2b3c4d\",\"running\":0,\"waiting\":0,\"kept_jobs\":0,\"kept_bytes\":0,\
             \"requests_remaining\":null,\"since\":7,\"runs\":{\"completed\":2},\"cpu_time_ms\":0,\
             \"wall_time_ms\":0,\"limits\":{\"concurrency\":0,\"reserved\":0,\"queue\":0,\"weight\":0,\
             \"requests_per_minute\":null,\"burst\":null,\"max_ttl\":0,\
             \"max_limits\":{\"memory_bytes\":67108864},\"network_mode\":\"zerotrust\",\
             \"languages\":[\"bash\"]}}"
        );
    }
}
