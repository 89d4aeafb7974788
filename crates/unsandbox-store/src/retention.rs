// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which results are removed: those past their time and, where all together are over the limit of bytes, the oldest of the
//! owner who has the most, so that no owner displaces the results of one with fewer.

use crate::keys;
use rusqlite::{Connection, params};
use std::time::Duration;

/// Jobs that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 500;

/// Pages of the file that are given back in one transaction: 8 MB.
const PAGES_GIVEN_BACK: usize = 2_000;

/// How long results are kept, and how many bytes of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    pub time: Duration,
    pub bytes: u64,
}

/// The results that have to go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Overdue(Vec<i64>);

impl Overdue {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be more.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= REMOVED_AT_ONCE
    }
}

/// Looks for results that have to go; by a reader, as mostly there are none.
pub(crate) fn overdue(db: &Connection, keep: Retention, now_ms: i64) -> rusqlite::Result<Overdue> {
    let time = i64::try_from(keep.time.as_millis()).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(
        "SELECT seq FROM jobs WHERE ended_ms IS NOT NULL AND ended_ms <= ?1 ORDER BY ended_ms LIMIT ?2",
    )?;
    let limit = REMOVED_AT_ONCE as i64;
    let old = statement.query_map(params![now_ms.saturating_sub(time), limit], |row| row.get(0))?;
    let old: Vec<i64> = old.collect::<rusqlite::Result<_>>()?;
    if old.is_empty() { over_the_bytes(db, keep.bytes) } else { Ok(Overdue(old)) }
}

fn over_the_bytes(db: &Connection, most: u64) -> rusqlite::Result<Overdue> {
    let mut statement = db.prepare_cached(
        "SELECT owner, sum(result_bytes) FROM jobs WHERE ended_ms IS NOT NULL GROUP BY owner",
    )?;
    let owners = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut owners: Vec<(String, i64)> = owners.collect::<rusqlite::Result<_>>()?;
    let mut over = owners.iter().map(|(_, bytes)| bytes).sum::<i64>();
    over -= i64::try_from(most).unwrap_or(i64::MAX);
    let mut removed = Vec::new();
    let mut next: std::collections::HashMap<String, i64> = std::collections::HashMap::new();
    while over > 0
        && removed.len() < REMOVED_AT_ONCE
        && let Some((owner, held)) = owners.iter_mut().max_by_key(|(_, bytes)| *bytes)
    {
        let after = next.entry(owner.clone()).or_insert(-1);
        let Some((seq, bytes, rank)) = oldest(db, owner, *after)? else { break };
        *after = rank;
        *held -= bytes;
        over -= bytes;
        removed.push(seq);
    }
    Ok(Overdue(removed))
}

/// The owner's first result behind those that were looked at.
fn oldest(db: &Connection, owner: &str, after: i64) -> rusqlite::Result<Option<(i64, i64, i64)>> {
    let mut statement = db.prepare_cached(
        "SELECT seq, result_bytes FROM jobs WHERE owner = ?1 AND ended_ms IS NOT NULL \
         ORDER BY ended_ms, seq LIMIT 1 OFFSET ?2",
    )?;
    let rank = after + 1;
    let mut rows = statement.query(params![owner, rank])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((row.get(0)?, row.get(1)?, rank)))
}

/// Gives room of removed results back to the disk, some at a time, if it is more than a quarter of the file.
pub(crate) fn give_room_back(db: &Connection) -> rusqlite::Result<()> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("freelist_count")? > number("page_count")? / 4 {
        db.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_GIVEN_BACK})"))?;
    }
    Ok(())
}

/// Removes jobs with their results and their keys.
pub(crate) fn remove(db: &Connection, overdue: &Overdue) -> rusqlite::Result<()> {
    for seq in &overdue.0 {
        let mut statement = db.prepare_cached(
            "DELETE FROM jobs WHERE seq = ?1 AND ended_ms IS NOT NULL RETURNING owner, generation",
        )?;
        let mut rows = statement.query([seq])?;
        if let Some(row) = rows.next()? {
            let (owner, generation): (String, Option<u32>) = (row.get(0)?, row.get(1)?);
            if let Some(generation) = generation {
                keys::removed(db, &owner, generation)?;
            }
        }
        drop(rows);
        db.prepare_cached("DELETE FROM results WHERE seq = ?1")?.execute([seq])?;
    }
    Ok(())
}
