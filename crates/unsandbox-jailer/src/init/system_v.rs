// SPDX-License-Identifier: MIT OR Apache-2.0
//! System V objects of a jail's ipc namespace: counted as memory while a program runs, and removed with the program
//! in a jail that is kept, where they would be left for the next one.

use crate::sys::{self, SystemV};
use std::fs;

const TABLES: [(&str, &str, SystemV); 3] = [
    ("shm", "shmid", SystemV::SharedMemory),
    ("sem", "semid", SystemV::Semaphores),
    ("msg", "msqid", SystemV::Messages),
];

/// The sum of a column.
pub fn sum(table: &str, column: &str) -> u64 {
    column_of(table, column).into_iter().sum()
}

/// To be called once no process is left that could make another.
pub fn remove_all() {
    for (table, ids, kind) in TABLES {
        for id in column_of(table, ids) {
            // An error means that it is gone already.
            let _ = i32::try_from(id).map(|id| sys::remove_system_v(kind, id));
        }
    }
}

fn column_of(table: &str, column: &str) -> Vec<u64> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let Some(at) = head.split_whitespace().position(|name| name == column) else {
        return Vec::new();
    };
    lines.filter_map(|line| line.split_whitespace().nth(at)?.parse().ok()).collect()
}
