// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which results are removed: those past their time and, where all together are over the limit of bytes, the oldest of the
//! owner who has the most, so that no owner displaces the results of one with fewer. And those that their owner deletes.

use crate::keys::{self, Name};
use crate::rows::{COLUMNS, job_of};
use crate::webhooks;
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;
use unsandbox_protocol::{Job, Owner};

/// Jobs that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 500;
/// Bytes of results that are removed in one transaction, beside the last one.
const BYTES_AT_ONCE: i64 = 64 << 20;
/// Pages of the file that are given back in one transaction: 8 MB.
const PAGES_AT_ONCE: usize = 2_000;

/// How long results are kept, and how many bytes of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    pub time: Duration,
    pub bytes: u64,
}

/// Results that are to be removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Expired {
    seqs: Vec<i64>,
    bytes: i64,
}

impl Expired {
    pub(crate) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// Whether there may be more.
    pub(crate) fn is_full(&self) -> bool {
        self.seqs.len() >= REMOVED_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    /// One job that its owner deletes.
    fn of(seq: i64) -> Expired {
        Expired { seqs: vec![seq], bytes: 0 }
    }

    fn add(&mut self, seq: i64, bytes: i64) {
        self.seqs.push(seq);
        self.bytes += bytes;
    }
}

/// Looks for results that are to be removed; by a reader, as mostly there are none.
pub(crate) fn expired(db: &Connection, keep: Retention, now_ms: i64) -> rusqlite::Result<Expired> {
    let time = i64::try_from(keep.time.as_millis()).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(
        "SELECT seq, result_bytes FROM jobs WHERE ended_ms IS NOT NULL AND ended_ms <= ?1 ORDER BY ended_ms",
    )?;
    let mut rows = statement.query([now_ms.saturating_sub(time)])?;
    let mut expired = Expired::default();
    while !expired.is_full()
        && let Some(row) = rows.next()?
    {
        expired.add(row.get(0)?, row.get(1)?);
    }
    if expired.is_empty() { over_the_bytes(db, keep.bytes) } else { Ok(expired) }
}

fn over_the_bytes(db: &Connection, most: u64) -> rusqlite::Result<Expired> {
    let mut statement = db.prepare_cached(
        "SELECT owner, sum(result_bytes) FROM jobs WHERE ended_ms IS NOT NULL GROUP BY owner",
    )?;
    let owners = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut owners: Vec<(String, i64)> = owners.collect::<rusqlite::Result<_>>()?;
    let mut over = owners.iter().map(|(_, bytes)| bytes).sum::<i64>();
    over -= i64::try_from(most).unwrap_or(i64::MAX);
    let mut removed = Expired::default();
    let mut next: std::collections::HashMap<String, i64> = std::collections::HashMap::new();
    while over > 0
        && !removed.is_full()
        && let Some((owner, held)) = owners.iter_mut().max_by_key(|(_, bytes)| *bytes)
    {
        let after = next.entry(owner.clone()).or_insert(-1);
        let Some((seq, bytes, rank)) = oldest(db, owner, *after)? else { break };
        *after = rank;
        *held -= bytes;
        over -= bytes;
        removed.add(seq, bytes);
    }
    Ok(removed)
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
pub(crate) fn shrink(db: &Connection) -> rusqlite::Result<()> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("freelist_count")? > number("page_count")? / 4 {
        let mut statement = db.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
        let mut rows = statement.raw_query();
        // Each step gives one page back.
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// The outcome of a deletion.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// With the name that the store has since: the key of the job is one that was removed.
    Yes(Name),
    NotEnded(Job),
    Unknown,
}

/// Removes a job that has ended with its result and its key, if it is this owner's.
pub(crate) fn delete(db: &Connection, owner: &Owner, job_id: &str) -> rusqlite::Result<Deleted> {
    let text = format!(
        "SELECT {COLUMNS}, ended_ms FROM jobs WHERE id = ?1 AND owner = ?2 AND status <> 'deleted'"
    );
    let mut statement = db.prepare_cached(&text)?;
    let found = statement.query_row(params![job_id, owner.0], |row| {
        Ok((row.get::<_, i64>(0)?, job_of(row)?, row.get::<_, Option<i64>>(10)?))
    });
    match found.optional()? {
        None => Ok(Deleted::Unknown),
        Some((_, job, None)) => Ok(Deleted::NotEnded(job)),
        Some((seq, ..)) => {
            webhooks::delete(db, seq)?;
            if !bury(db, seq)? {
                remove(db, &Expired::of(seq))?;
            }
            Name::read(db).map(Deleted::Yes)
        }
    }
}

/// Removes all of a job but its key, if that names this store: were it removed, every key of its generation that is not
/// known would be refused. The row goes when the job would have gone.
fn bury(db: &Connection, seq: i64) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "UPDATE jobs SET status = 'deleted', language = NULL, network_mode = NULL, result_bytes = 0 \
         WHERE seq = ?1 AND generation IS NOT NULL",
    )?;
    if statement.execute([seq])? == 0 {
        return Ok(false);
    }
    db.prepare_cached("DELETE FROM results WHERE seq = ?1")?.execute([seq]).map(|_| true)
}

/// Removes jobs with their results and their keys.
pub(crate) fn remove(db: &Connection, expired: &Expired) -> rusqlite::Result<()> {
    for seq in &expired.seqs {
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
