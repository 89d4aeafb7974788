// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an operator does with a store's file: check, export, back up, compact. Each works while a server uses the file.

use crate::database::{Database, failed, unusable};
use crate::keys::Name;
use crate::recovery;
use rusqlite::Connection;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use unsandbox_protocol::Error;

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub waiting: u64,
    pub running: u64,
    pub ended: u64,
    /// Bytes of the requests of jobs that have not ended, and of results.
    pub request_bytes: u64,
    pub result_bytes: u64,
    pub file_bytes: u64,
    /// What is broken; empty for a sound file.
    pub faults: Vec<String>,
}

/// Reads the whole file and checks it.
///
/// # Errors
/// CONFIG, if it is not a store of this version; STORE, if it cannot be read.
pub fn check(path: &Path) -> Result<Report, Error> {
    let database = Database::existing(path)?;
    database.read("check itself", |db| {
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        let count = |sql: &str| number(sql).map(i64::unsigned_abs);
        let mut faults = lines(db, "PRAGMA integrity_check")?;
        faults.retain(|line| line != "ok");
        let without = |what: &str, sql: &str| -> rusqlite::Result<Option<String>> {
            let missing = number(sql)?;
            Ok((missing > 0).then(|| format!("{missing} jobs have no {what}")))
        };
        faults.extend(without(
            "request",
            "SELECT count(*) FROM jobs WHERE ended_ms IS NULL AND seq NOT IN (SELECT seq FROM requests)",
        )?);
        faults.extend(without(
            "result",
            "SELECT count(*) FROM jobs WHERE ended_ms IS NOT NULL AND status <> 'deleted' AND seq NOT IN (SELECT seq FROM results)",
        )?);
        Ok(Report {
            waiting: count("SELECT count(*) FROM jobs WHERE status = 'pending'")?,
            running: count("SELECT count(*) FROM jobs WHERE status = 'running'")?,
            ended: count("SELECT count(*) FROM jobs WHERE ended_ms IS NOT NULL AND status <> 'deleted'")?,
            request_bytes: count(
                "SELECT coalesce(sum(request_bytes), 0) FROM jobs WHERE ended_ms IS NULL",
            )?,
            result_bytes: count("SELECT coalesce(sum(result_bytes), 0) FROM jobs")?,
            file_bytes: count("PRAGMA page_count")? * count("PRAGMA page_size")?,
            faults,
        })
    })
}

fn lines(db: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Gives every job as a line of JSON: `owner`, `request` (the body of `POST /execute`, until the job has ended) and `job`
/// (the reply to `GET /jobs/ID`). Returns how many there are.
///
/// # Errors
/// CONFIG, if it is not a store of this version; STORE, if it cannot be read; or that of `each`.
pub fn export<E: From<Error>>(
    path: &Path,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<u64, E> {
    let database = Database::existing(path)?;
    let (mut after, mut count) = (0, 0);
    loop {
        // Some at a time: a reader that takes long keeps the log of the database from being emptied.
        let lines = database.read("be read", |db| lines_after(db, after))?;
        let Some((last, _)) = lines.last() else { return Ok(count) };
        after = *last;
        for (_, line) in &lines {
            each(line)?;
            count += 1;
        }
    }
}

const LINES_AT_ONCE: usize = 100;

fn lines_after(db: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = db.prepare_cached(
        "SELECT jobs.owner, jobs.id, jobs.status, jobs.created_at, requests.body, results.body, jobs.seq FROM jobs \
         LEFT JOIN requests ON requests.seq = jobs.seq LEFT JOIN results ON results.seq = jobs.seq \
         WHERE jobs.seq > ?1 AND jobs.status <> 'deleted' ORDER BY jobs.seq LIMIT ?2",
    )?;
    let rows =
        statement.query_map([after, LINES_AT_ONCE as i64], |row| Ok((row.get(6)?, line(row)?)))?;
    rows.collect()
}

fn line(row: &rusqlite::Row<'_>) -> rusqlite::Result<String> {
    let text = |value: Option<Vec<u8>>| value.map(|it| String::from_utf8_lossy(&it).into_owned());
    let quoted = |value: String| serde_json::Value::from(value).to_string();
    let job = match text(row.get(5)?) {
        Some(job) => job,
        None => {
            let (id, status) = (quoted(row.get(1)?), quoted(row.get(2)?));
            format!(r#"{{"job_id":{id},"status":{status},"created_at":{}}}"#, row.get::<_, i64>(3)?)
        }
    };
    let request = text(row.get(4)?).unwrap_or_else(|| "null".to_string());
    Ok(format!("{{\"owner\":{},\"request\":{request},\"job\":{job}}}", quoted(row.get(0)?)))
}

/// Copies the store, as it is at one moment, to a new file of mode 0600. What was submitted or run after that is not known
/// there. So the copy has another name, by which keys that name this store are refused there unless they are known; and
/// its jobs that have not ended are lost there: failed, and may have run, or run again if their submission said so. It has
/// no webhooks: the store itself delivers them, and the ends of jobs may be others there.
///
/// # Errors
/// CONFIG, if it is not a store of this version, or if the target exists; STORE, if the copy could not be made.
pub fn backup(path: &Path, target: &Path) -> Result<(), Error> {
    let database = Database::existing(path)?;
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = target.with_file_name(name);
    // Made here, so that it never has another mode; SQLite takes an empty file as a new one.
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    made.map_err(|error| unusable(&partial, error))?;
    let copied = copy(&database, &partial).and_then(|()| {
        // Fails if the target exists.
        std::fs::hard_link(&partial, target).map_err(|error| unusable(target, error))
    });
    let _ = std::fs::remove_file(&partial);
    copied
}

fn copy(database: &Database, target: &Path) -> Result<(), Error> {
    let name = target.to_str().ok_or_else(|| unusable(target, "its path is not UTF-8"))?;
    database.read("be copied", |db| db.execute("VACUUM INTO ?1", [name]).map(|_| ()))?;
    let random = Name::random()?;
    let db = Database::existing(target)?.connect()?;
    let changed = Name::change(&db, &random).and_then(|()| recovery::leave_all(&db));
    changed.map_err(|error| failed(target, "be prepared", &error))
}

/// Gives the room of removed jobs back to the disk. It needs the size of the file once more meanwhile, and nothing can be
/// written by others. Returns the size of the file before and after, in bytes.
///
/// # Errors
/// CONFIG, if it is not a store of this version; STORE, if it could not be rewritten.
pub fn compact(path: &Path) -> Result<(u64, u64), Error> {
    let database = Database::existing(path)?;
    let db = database.connect()?;
    let size = || std::fs::metadata(path).map_or(0, |data| data.len());
    let before = size();
    db.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(|error| failed(path, "be compacted", &error))?;
    Ok((before, size()))
}
