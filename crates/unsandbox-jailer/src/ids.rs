// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ids that programs run as. The jailer uses them; the engine checks with them whether a runtime is accessible.

use std::fs;

/// Ids of the host that jails run as when the host is root: high up, where no account is.
const ROOT_IDS_FIRST: u32 = 0x7000_0000;
const ROOT_IDS_COUNT: u32 = 0x1_0000;

#[derive(Debug)]
pub struct IdRange {
    pub first: u32,
    pub count: u32,
}

/// Ids for jails of a root host: in the high range, or (in a container that maps few ids) the last ones that it maps.
/// `None` for other users, and for root without other ids: their programs run with the user's own id.
pub fn of_root(effective_uid: u32) -> Option<IdRange> {
    if effective_uid != 0 || !may_change_ids() {
        return None;
    }
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let extent = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        Some((*numbers.first()?, *numbers.get(2)?))
    };
    let (first, count) = map.lines().filter_map(extent).max_by_key(|(_, count)| *count)?;
    if first.saturating_add(count) > ROOT_IDS_FIRST + ROOT_IDS_COUNT {
        return Some(IdRange { first: ROOT_IDS_FIRST, count: ROOT_IDS_COUNT });
    }
    // The very last two are "nobody" to many systems.
    (count > 1_000).then(|| IdRange { first: first + count - 600, count: 512 })
}

/// Whether this process may take other ids and give files to them.
fn may_change_ids() -> bool {
    const CHOWN_SETGID_SETUID: u64 = 1 | 1 << 6 | 1 << 7;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_some_and(|set| set & CHOWN_SETGID_SETUID == CHOWN_SETGID_SETUID)
}
