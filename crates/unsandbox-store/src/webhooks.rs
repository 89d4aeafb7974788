// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statements about webhooks. Their rows are made with their jobs, and the end of a job makes its own due
//! (`schema/2.sql`).

use rusqlite::{Connection, params};
use std::collections::VecDeque;
use unsandbox_protocol::outbox::{Room, Webhook};
use unsandbox_protocol::{Error, ErrorCode, Owner, Status};

/// When a submission that was refused for the webhooks of its key may be tried again.
const RETRY_AFTER_MS: u64 = 5_000;

/// Adds the webhook of a new job.
pub(crate) fn insert(
    db: &Connection,
    seq: i64,
    job_id: &str,
    owner: &Owner,
    url: &str,
) -> rusqlite::Result<()> {
    let text = "INSERT INTO webhooks (seq, job_id, owner, url) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(text)?.execute(params![seq, job_id, owner.0, url]).map(|_| ())
}

/// The refusal of one more webhook of an owner that has so many already.
pub(crate) fn refusal(
    db: &Connection,
    owner: &Owner,
    most: usize,
) -> rusqlite::Result<Option<Error>> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM webhooks WHERE owner = ?1")?;
    let count = statement.query_row([&owner.0], |row| row.get::<_, i64>(0))?;
    Ok((usize::try_from(count).unwrap_or(usize::MAX) >= most).then(|| {
        let text = format!(
            "{count} webhooks of this key are kept until they are delivered, and at most {most} are; retry when their \
             receivers answer, or submit without callback_url"
        );
        Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(RETRY_AFTER_MS)
    }))
}

/// Removes the webhook of a job that its owner deletes.
pub(crate) fn delete(db: &Connection, seq: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM webhooks WHERE seq = ?1")?.execute([seq]).map(|_| ())
}

/// Those of jobs that have ended, up to 100,000: it is asked often.
pub(crate) fn count_due(db: &Connection) -> rusqlite::Result<u64> {
    let text =
        "SELECT count(*) FROM (SELECT 1 FROM webhooks WHERE due_ms IS NOT NULL LIMIT 100000)";
    db.prepare_cached(text)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// What is due now and has room, by turns between the owners.
pub(crate) fn due(db: &Connection, room: &Room, now_ms: i64) -> rusqlite::Result<Vec<Webhook>> {
    let mut lines = Vec::new();
    let (mut at, mut is_second_round) = (room.after.0.clone(), false);
    while lines.len() < room.places {
        let Some(owner) = owner_after(db, &at)? else {
            if is_second_round {
                break;
            }
            (is_second_round, at) = (true, String::new());
            continue;
        };
        if is_second_round && owner > room.after.0 {
            break;
        }
        at.clone_from(&owner);
        let owner = Owner(owner);
        let out = room.out.get(&owner).copied().unwrap_or(0);
        let line = due_of(db, &owner, room.each.saturating_sub(out), now_ms)?;
        if !line.is_empty() {
            lines.push(line);
        }
    }
    let mut taken = Vec::new();
    while taken.len() < room.places && lines.iter().any(|line| !line.is_empty()) {
        let turn = lines.iter_mut().filter_map(VecDeque::pop_front);
        taken.extend(turn.take(room.places - taken.len()));
    }
    Ok(taken)
}

fn owner_after(db: &Connection, after: &str) -> rusqlite::Result<Option<String>> {
    let text = "SELECT min(owner) FROM webhooks WHERE due_ms IS NOT NULL AND owner > ?1";
    db.prepare_cached(text)?.query_row([after], |row| row.get(0))
}

fn due_of(
    db: &Connection,
    owner: &Owner,
    most: usize,
    now_ms: i64,
) -> rusqlite::Result<VecDeque<Webhook>> {
    let mut statement = db.prepare_cached(
        "SELECT seq, job_id, status, ended_at, url, attempts FROM webhooks \
         WHERE owner = ?1 AND due_ms IS NOT NULL AND due_ms <= ?2 ORDER BY due_ms, seq LIMIT ?3",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![owner.0, now_ms, most], |row| {
        Ok(Webhook {
            id: row.get(0)?,
            owner: owner.clone(),
            job_id: row.get(1)?,
            status: Status::parse(&row.get::<_, String>(2)?),
            ended_at: row.get(3)?,
            url: row.get(4)?,
            attempts: row.get(5)?,
        })
    })?;
    rows.collect()
}

/// Takes one out, unless another process has done so since it was read.
pub(crate) fn take(db: &Connection, found: &Webhook, until_ms: i64) -> rusqlite::Result<bool> {
    let text =
        "UPDATE webhooks SET attempts = attempts + 1, due_ms = ?3 WHERE seq = ?1 AND attempts = ?2";
    Ok(db.prepare_cached(text)?.execute(params![found.id, found.attempts, until_ms])? == 1)
}

/// Removes one that was taken out so often, and not since.
pub(crate) fn done(db: &Connection, taken: &Webhook) -> rusqlite::Result<()> {
    let text = "DELETE FROM webhooks WHERE seq = ?1 AND attempts = ?2";
    db.prepare_cached(text)?.execute(params![taken.id, taken.attempts]).map(|_| ())
}

/// Makes one due at another time that was taken out so often, and not since.
pub(crate) fn postpone(db: &Connection, taken: &Webhook, due_ms: i64) -> rusqlite::Result<()> {
    let text = "UPDATE webhooks SET due_ms = ?3 WHERE seq = ?1 AND attempts = ?2";
    db.prepare_cached(text)?.execute(params![taken.id, taken.attempts, due_ms]).map(|_| ())
}
