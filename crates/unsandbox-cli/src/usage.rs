// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox usage`: what the key may have of an endpoint, what it has now, and what it has used.

use crate::Done;
use crate::args::ListArgs;
use crate::endpoint::client;
use crate::terminal;
use unsandbox::protocol::limits::LIMIT_TABLE;
use unsandbox::protocol::wire;
use unsandbox::{IsolationPolicy, KeyAllowance, KeyUsage};

pub(crate) fn show(args: ListArgs) -> Done {
    let usage = client(args.endpoint, IsolationPolicy::Auto)?.usage()?;
    match args.json {
        true => terminal::json(&wire::encode_usage(&usage))?,
        false => terminal::table(&rows(&usage))?,
    }
    Ok(0)
}

fn rows(usage: &KeyUsage) -> Vec<Vec<String>> {
    let limits = &usage.limits;
    let since = jiff::Timestamp::from_second(usage.since).map(|time| time.to_string());
    let runs = usage.runs.iter().map(|(status, count)| format!("{count} {status}"));
    [
        ("key", usage.key.clone().unwrap_or_else(|| "none".to_string())),
        ("running", format!("{} of {}", usage.running, places(limits))),
        ("waiting", format!("{} of {}", usage.waiting, limits.queue)),
        ("kept jobs", format!("{} ({} bytes)", usage.kept_jobs, usage.kept_bytes)),
        ("requests", requests(usage)),
        ("since", since.unwrap_or_else(|_| usage.since.to_string())),
        ("runs", list(runs, "none")),
        ("processor time", format!("{} ms", usage.cpu_time_ms)),
        ("wall time", format!("{} ms", usage.wall_time_ms)),
        ("largest ttl", format!("{} s", limits.max_ttl)),
        ("largest limits", list(max_limits(limits), "those of the table of limits")),
        ("network mode", limits.network_mode.clone()),
        (
            "languages",
            limits
                .languages
                .as_ref()
                .map_or("all".to_string(), |it| list(it.iter().cloned(), "none")),
        ),
    ]
    .map(|(name, value)| vec![name.to_string(), value])
    .to_vec()
}

fn list(items: impl Iterator<Item = String>, none: &str) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { none.to_string() } else { items.join(", ") }
}

fn places(limits: &KeyAllowance) -> String {
    let KeyAllowance { concurrency, reserved, weight, .. } = limits;
    let mut text = concurrency.to_string();
    if *reserved > 0 {
        text += &format!(", {reserved} reserved");
    }
    if *weight > 1 {
        text += &format!(", weight {weight}");
    }
    text
}

fn requests(usage: &KeyUsage) -> String {
    let KeyAllowance { requests_per_minute, burst, .. } = usage.limits;
    let (Some(per_minute), Some(burst)) = (requests_per_minute, burst) else {
        return "without a limit".to_string();
    };
    let remaining = usage.requests_remaining.unwrap_or(burst);
    format!("{remaining} of {burst} at once, {per_minute} a minute")
}

fn max_limits(limits: &KeyAllowance) -> impl Iterator<Item = String> {
    let most = |name| Some(format!("{name} {}", limits.max_limits.get(name)?));
    LIMIT_TABLE.iter().filter_map(move |row| most(row.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_usage_is_shown() {
        let mut usage = KeyUsage {
            key: Some("1a2b3c4d".into()),
            running: 1,
            waiting: 2,
            ..KeyUsage::default()
        };
        (usage.kept_jobs, usage.kept_bytes, usage.requests_remaining) = (3, 44, Some(5));
        (usage.since, usage.cpu_time_ms, usage.wall_time_ms) = (1_705_314_600, 6, 7);
        usage.runs = [("completed".to_string(), 8), ("timeout".to_string(), 1)].into();
        let limits = &mut usage.limits;
        (limits.concurrency, limits.reserved, limits.queue, limits.weight) = (9, 1, 10, 2);
        (limits.requests_per_minute, limits.burst, limits.max_ttl) = (Some(60), Some(20), 30);
        (limits.max_limits.cpus, limits.max_limits.processes) = (Some(2), Some(64));
        limits.network_mode = "zerotrust".to_string();
        limits.languages = Some(vec!["bash".to_string(), "python".to_string()]);
        let shown: Vec<String> = rows(&usage).iter().map(|row| row.join(": ")).collect();
        assert_eq!(
            shown,
            [
                "key: 1a2b3c4d",
                "running: 1 of 9, 1 reserved, weight 2",
                "waiting: 2 of 10",
                "kept jobs: 3 (44 bytes)",
                "requests: 5 of 20 at once, 60 a minute",
                "since: 2024-01-15T10:30:00Z",
                "runs: 8 completed, 1 timeout",
                "processor time: 6 ms",
                "wall time: 7 ms",
                "largest ttl: 30 s",
                "largest limits: cpus 2, processes 64",
                "network mode: zerotrust",
                "languages: bash, python",
            ]
        );
        let shown = rows(&KeyUsage::default());
        let value = |name: &str| shown.iter().find(|row| row[0] == name).unwrap()[1].as_str();
        assert_eq!((value("requests"), value("languages")), ("without a limit", "all"));
        assert_eq!((value("runs"), value("key")), ("none", "none"));
    }
}
