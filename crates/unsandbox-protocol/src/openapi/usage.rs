// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the reply to `GET /usage` has.

use super::schema::{Kind, Member, Presence, always};

const fn or_null(name: &'static str, kind: Kind, means: &'static str) -> Member {
    Member { name, kind, presence: Presence::OrNull, means }
}

const USAGE: &[Member] = &[
    or_null(
        "key",
        Kind::Text,
        "short name of the key, as in the log of the server; null on a server without keys",
    ),
    always("running", Kind::Count, "programs of the key that run now"),
    always("waiting", Kind::Count, "submissions of the key that wait for their turn now"),
    always("kept_jobs", Kind::Count, "finished jobs of the key that are kept now"),
    always("kept_bytes", Kind::Count, "bytes of their results"),
    or_null(
        "requests_remaining",
        Kind::Count,
        "requests that may come at once now; null without a limit",
    ),
    always("since", Kind::Count, "when the server started, in Unix seconds"),
    always("runs", Kind::CountMap, "runs that have ended since then, by their status"),
    always("cpu_time_ms", Kind::Count, "processor time of their programs in milliseconds"),
    always("wall_time_ms", Kind::Count, "their time from start to end in milliseconds"),
    always("limits", Kind::Object("KeyAllowance"), "what the key may have"),
];

const ALLOWANCE: &[Member] = &[
    always("concurrency", Kind::Count, "programs that run at once"),
    always("reserved", Kind::Count, "of those, places that no other key gets"),
    always("queue", Kind::Count, "submissions that may wait for their turn"),
    always("weight", Kind::Count, "submissions that start in one turn of the key"),
    or_null("requests_per_minute", Kind::Count, "requests in a minute; null without a limit"),
    or_null("burst", Kind::Count, "requests that may come at once; null without a limit"),
    always("max_ttl", Kind::Count, "largest ttl in seconds"),
    always(
        "max_limits",
        Kind::Object("Limits"),
        "largest limits of a run, where they are lower than the table's",
    ),
    always(
        "network_mode",
        Kind::Object("NetworkMode"),
        "`zerotrust` alone, or `semitrusted` for both",
    ),
    or_null("languages", Kind::Texts, "names of the languages that it may use; null for all"),
];

pub(super) fn schemas(add: &mut impl FnMut(&str, &str, &[Member])) {
    add("KeyUsage", "what a key may have, has now and has used", USAGE);
    add("KeyAllowance", "what a key may have", ALLOWANCE);
}
