// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite without each layer: what it notices then. `cargo test --test hostile -- --layers`, with an
//! engine whose jailer was built for it (UNSANDBOX_BUILD_ABLATION); the shipped one has no such switch,
//! and the ordinary columns name every layer to it in vain.

use crate::{Place, play_in_a_process};
use unsandbox_protocol::Level;

/// The variable that such a jailer looks for in the environment of its host.
pub const WITHOUT: &str = "UNSANDBOX_WITHOUT";

struct Row {
    without: &'static str,
    level: Level,
    /// What notices; where the layer has a second one behind it, what holds nonetheless.
    programs: &'static [&'static str],
    noticed: bool,
}

const fn noticed(without: &'static str, level: Level, programs: &'static [&'static str]) -> Row {
    Row { without, level, programs, noticed: true }
}

const fn held(without: &'static str, level: Level, programs: &'static [&'static str]) -> Row {
    Row { without, level, programs, noticed: false }
}

const SEEN: &str = "as the host sees it";
use Level::{Full, Reduced};

const ROWS: &[Row] = &[
    noticed("User", Full, &[SEEN]),
    noticed("Mount", Full, &[SEEN, "reads what the host keeps"]),
    noticed("Pid", Full, &[SEEN, "lists processes"]),
    noticed("Network", Full, &[SEEN, "connects to the host"]),
    noticed("Ipc", Full, &[SEEN, "leaves shared memory, semaphores and queues"]),
    noticed("Uts", Full, &[SEEN, "asks who and where it is"]),
    noticed("CgroupNamespace", Full, &[SEEN]),
    noticed(
        "Seccomp",
        Full,
        &[
            SEEN,
            "keys that outlive the run",
            "sockets of every family",
            "types into terminals",
            "the processor's old doors",
        ],
    ),
    noticed("Landlock", Full, &["signals its parents and a bystander"]),
    noticed("Rights", Full, &[SEEN, "takes rights"]),
    noticed(
        "Rlimits",
        Full,
        &[SEEN, "descriptors of every kind", "too large a file", "raises its own limits"],
    ),
    // Memory has two layers, and so have processes where there is a control group.
    held(
        "Cgroup",
        Full,
        &[
            "memory past its limit",
            "memory that no process maps",
            "more processes than the limit",
            SEEN,
        ],
    ),
    held("Watchdog", Full, &["more processes than the limit"]),
    noticed("Cgroup,Watchdog", Full, &["memory past its limit", "memory that no process maps"]),
    noticed("Cgroup,Rlimits", Full, &["more processes than the limit"]),
    noticed("Descriptors", Full, &[SEEN, "descriptors that it should not have"]),
    noticed("Environment", Full, &[SEEN, "prints its environment"]),
    // Where namespaces are refused, these are the only ones.
    noticed("Landlock", Reduced, &["reads what the host keeps", "changes what the host keeps"]),
    noticed(
        "Seccomp",
        Reduced,
        &[SEEN, "connects to the host", "leaves shared memory, semaphores and queues"],
    ),
    noticed("Rlimits", Reduced, &[SEEN, "too large a file"]),
    noticed("Watchdog", Reduced, &["fills its file system"]),
    noticed("Cgroup,Watchdog", Reduced, &["memory past its limit"]),
    noticed("Descriptors", Reduced, &[SEEN]),
    noticed("Environment", Reduced, &[SEEN, "prints its environment"]),
    // Nothing left out: everything that is named above holds.
    held("nothing", Full, &[SEEN, "takes rights", "connects to the host", "memory past its limit"]),
    held("nothing", Reduced, &[SEEN, "too large a file", "fills its file system"]),
];

/// Every layer, as the ordinary columns name them to a jailer that must not care.
pub fn every_layer() -> String {
    let mut names: Vec<&str> = ROWS.iter().flat_map(|row| row.without.split(',')).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

/// Plays each row and prints what was seen; how many were otherwise than they should. One row at a time:
/// without its namespace a run's leftovers and signals reach the others.
pub fn play() -> usize {
    let (mut right, mut wrong) = (0, 0);
    println!("\n{:18}{:9}{:46}seen", "without", "level", "hostile program");
    for row in ROWS {
        for (program, complaint) in play_row(row) {
            let as_it_should = complaint.is_some() == row.noticed;
            let seen = complaint.unwrap_or_else(|| "nothing".to_string());
            let seen: String = seen.chars().take(110).collect();
            let mark = if as_it_should { "" } else { "FAILED " };
            println!("{:18}{:9}{program:46}{mark}{seen}", row.without, row.level.as_str());
            if as_it_should { right += 1 } else { wrong += 1 }
        }
    }
    let word = if wrong == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {right} passed; {wrong} failed; 0 ignored");
    wrong
}

/// Each program of the row with the first thing that the suite has against it.
fn play_row(row: &Row) -> Vec<(&'static str, Option<String>)> {
    let words: Vec<String> = row.programs.iter().map(ToString::to_string).collect();
    let place = Place { level: row.level, user: None, without: row.without.to_string() };
    let column = play_in_a_process(&place, &words);
    let seen = |program: &&'static str| match column.complaints(program) {
        Some(complaints) => (*program, complaints.first().cloned()),
        // Neither held nor noticed.
        None if row.noticed => (*program, None),
        None => (*program, Some("it was not played".to_string())),
    };
    row.programs.iter().map(seen).collect()
}
