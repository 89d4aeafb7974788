// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statements about jobs. Each is called in a transaction of the writer, or by a reader.

use crate::keys::{self, Found, NewKey};
use crate::webhooks;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::{Arc, OnceLock};
use unsandbox_protocol::quota::queue_full;
use unsandbox_protocol::wire::{self, Shape};
use unsandbox_protocol::{Error, Job, Owner, Rerun, Status};

/// What a result counts for beside its bytes.
const RESULT_OVERHEAD_BYTES: usize = 1024;

/// A job that is to be saved before its id is told.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    pub job: Job,
    pub owner: Owner,
    pub rerun: Rerun,
    pub key: Option<NewKey>,
    /// The request, as the body of `POST /execute` has it.
    pub request: Arc<String>,
    /// The most jobs of its owner that may wait, for a process that does not own the queue and cannot count them.
    pub most: Option<usize>,
    /// Where its end is posted to.
    pub callback_url: Option<String>,
    /// The most webhooks of its owner.
    pub webhooks_max: usize,
}

/// The outcome for a new job.
#[derive(Debug)]
pub(crate) enum Inserted {
    New {
        seq: i64,
    },
    /// The job of the first submission with its key.
    Known {
        job_id: String,
    },
    Refused(Error),
}

/// A job that waits, as a process that owns the queue takes it over.
#[derive(Debug)]
pub(crate) struct Pending {
    pub seq: i64,
    pub owner: Owner,
    pub job: Job,
    pub rerun: Rerun,
    pub request_bytes: u64,
}

/// A job with what is known of it from the outside.
#[derive(Debug)]
pub(crate) struct OwnedJob {
    pub owner: Owner,
    pub job: Job,
}

pub(crate) fn insert(db: &Connection, new: &NewJob) -> rusqlite::Result<Inserted> {
    let NewJob { job, owner, rerun, key, request, most, callback_url, webhooks_max } = new;
    let mut generation = None;
    if let Some(key) = key {
        match keys::find(db, owner, key)? {
            Found::Job(job_id) => return Ok(Inserted::Known { job_id }),
            Found::Refused(error) => return Ok(Inserted::Refused(error)),
            Found::Unknown(named) => generation = named,
        }
    }
    if let Some(most) = most
        && waiting_of(db, owner)? >= *most
    {
        return Ok(Inserted::Refused(queue_full(*most)));
    }
    if callback_url.is_some()
        && let Some(error) = webhooks::refusal(db, owner, *webhooks_max)?
    {
        return Ok(Inserted::Refused(error));
    }
    let mut statement = db.prepare_cached(
        "INSERT INTO jobs (id, owner, status, language, detected, network_mode, created_at, rerun, key, fingerprint, \
         generation, request_bytes) VALUES (?1, ?2, 'pending', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        job.job_id,
        owner.0,
        job.language,
        job.detected_language.is_some(),
        job.network_mode,
        job.created_at.unwrap_or(0),
        rerun.as_str(),
        key.as_ref().map(|key| &key.key),
        key.as_ref().map(|key| &key.fingerprint[..]),
        generation,
        request.len() as i64,
    ])?;
    let seq = db.last_insert_rowid();
    let mut statement = db.prepare_cached("INSERT INTO requests (seq, body) VALUES (?1, ?2)")?;
    statement.execute(params![seq, request.as_bytes()])?;
    if let Some(url) = callback_url {
        webhooks::insert(db, seq, &job.job_id, owner, url)?;
    }
    Ok(Inserted::New { seq })
}

fn waiting_of(db: &Connection, owner: &Owner) -> rusqlite::Result<usize> {
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM jobs WHERE owner = ?1 AND ended_ms IS NULL AND status = 'pending'",
    )?;
    let count = statement.query_row([&owner.0], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Records that a process is about to run a job; false if it does not wait any more.
pub(crate) fn start(db: &Connection, seq: i64, process: i64) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached(
        "UPDATE jobs SET status = 'running', process = ?2, attempts = attempts + 1 WHERE seq = ?1 AND status = 'pending'",
    )?;
    Ok(statement.execute(params![seq, process])? == 1)
}

/// Puts a job back into the queue that was not run; its attempt does not count. `announced`, other processes look for it.
pub(crate) fn requeue(
    db: &Connection,
    seq: i64,
    process: i64,
    announced: bool,
) -> rusqlite::Result<bool> {
    if announced {
        announce(db)?;
    }
    let mut statement = db.prepare_cached(
        "UPDATE jobs SET status = 'pending', process = NULL, attempts = attempts - 1 \
         WHERE seq = ?1 AND process = ?2 AND ended_ms IS NULL",
    )?;
    Ok(statement.execute(params![seq, process])? == 1)
}

/// The end of a job.
#[derive(Clone, Debug)]
pub(crate) struct End {
    seq: i64,
    pub job: Arc<Job>,
    /// The process that ran it; `None` for one that did not run.
    process: Option<i64>,
    ended_ms: i64,
    /// The job as it is stored, made once.
    body: Arc<OnceLock<String>>,
}

impl End {
    pub(crate) fn new(seq: i64, job: Arc<Job>, process: Option<i64>, ended_ms: i64) -> End {
        End { seq, job, process, ended_ms, body: Arc::default() }
    }

    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }

    /// Bytes of the job as it is stored; 0 before it is.
    pub(crate) fn result_bytes(&self) -> usize {
        self.body.get().map_or(0, String::len)
    }
}

/// Saves the end of a job; false if it has another process, or has ended.
pub(crate) fn finish(db: &Connection, end: &End) -> rusqlite::Result<bool> {
    let End { seq, job, process, ended_ms, body } = end;
    let body = body.get_or_init(|| wire::encode_job(job, Shape::Lean));
    let mut statement = db.prepare_cached(
        "UPDATE jobs SET status = ?2, started_at = ?3, completed_at = ?4, result_bytes = ?5, ended_ms = ?6, \
         process = NULL WHERE seq = ?1 AND process IS ?7 AND ended_ms IS NULL",
    )?;
    let changed = statement.execute(params![
        seq,
        job.status.as_str(),
        job.started_at,
        job.completed_at,
        (body.len() + RESULT_OVERHEAD_BYTES) as i64,
        ended_ms,
        process,
    ])?;
    if changed == 0 {
        return Ok(false);
    }
    db.prepare_cached("INSERT INTO results (seq, body) VALUES (?1, ?2)")?
        .execute(params![seq, body.as_bytes()])?;
    db.prepare_cached("DELETE FROM requests WHERE seq = ?1")?.execute([seq])?;
    Ok(true)
}

/// Tells other processes that a job waits again which they may have seen before.
pub(crate) fn announce(db: &Connection) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO meta (name, value) VALUES ('requeued', 1) \
         ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [],
    )
    .map(|_| ())
}

/// The request of a job; `None` if the file has none that can be read.
pub(crate) fn request(db: &Connection, seq: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = db.prepare_cached("SELECT body FROM requests WHERE seq = ?1")?;
    let body = statement.query_row([seq], |row| row.get(0)).optional();
    match body {
        Err(rusqlite::Error::InvalidColumnType(..)) => Ok(None),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            Ok(None)
        }
        body => body,
    }
}

/// What [`job_of`] reads.
pub(crate) const COLUMNS: &str = "seq, id, owner, status, language, detected, network_mode, created_at, started_at, completed_at";

/// The job with this id, with its result once it has ended.
pub(crate) fn job(db: &Connection, job_id: &str) -> rusqlite::Result<Option<OwnedJob>> {
    let text = format!(
        "SELECT {COLUMNS}, (SELECT body FROM results WHERE results.seq = jobs.seq) FROM jobs WHERE id = ?1 AND status <> 'deleted'"
    );
    let mut statement = db.prepare_cached(&text)?;
    statement.query_row([job_id], owned).optional()
}

fn owned(row: &Row<'_>) -> rusqlite::Result<OwnedJob> {
    let mut job = job_of(row)?;
    if let Some(body) = row.get::<_, Option<Vec<u8>>>(10)? {
        job.result = result_in(body);
    }
    Ok(OwnedJob { owner: Owner(row.get(2)?), job })
}

fn result_in(body: Vec<u8>) -> Option<Arc<unsandbox_protocol::ExecutionResult>> {
    let mut result = wire::decode_job(body, 200).ok()?.into_result()?;
    result.raw = None;
    Some(Arc::new(result))
}

/// The job of a row that begins with [`COLUMNS`].
pub(crate) fn job_of(row: &Row<'_>) -> rusqlite::Result<Job> {
    let mut job = Job::new(row.get::<_, String>(1)?, Status::parse(&row.get::<_, String>(3)?));
    job.language = row.get(4)?;
    job.detected_language = job.language.clone().filter(|_| row.get(5).unwrap_or(false));
    job.network_mode = row.get(6)?;
    job.created_at = Some(row.get(7)?);
    job.started_at = row.get(8)?;
    job.completed_at = row.get(9)?;
    Ok(job)
}

/// The place of a job in the order of the submissions, if it is this owner's and is kept.
pub(crate) fn seq_of(
    db: &Connection,
    owner: &Owner,
    job_id: &str,
) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT seq FROM jobs WHERE id = ?1 AND owner = ?2")?;
    statement.query_row([job_id, &owner.0], |row| row.get(0)).optional()
}

/// So many jobs of an owner that have not ended, behind a place; the first submitted first, each with its place.
pub(crate) fn unfinished(
    db: &Connection,
    owner: &Owner,
    after: i64,
    most: Option<usize>,
) -> rusqlite::Result<Vec<(i64, Job)>> {
    let text = format!(
        "SELECT {COLUMNS} FROM jobs WHERE owner = ?1 AND ended_ms IS NULL AND seq > ?2 ORDER BY seq LIMIT ?3"
    );
    let mut statement = db.prepare_cached(&text)?;
    let most = most.map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
    let rows = statement
        .query_map(params![owner.0, after, most], |row| Ok((row.get(0)?, job_of(row)?)))?;
    rows.collect()
}

/// The jobs of an owner that have ended, and the bytes of their results.
pub(crate) fn kept(db: &Connection, owner: &Owner) -> rusqlite::Result<(u64, u64)> {
    let mut statement = db.prepare_cached(
        "SELECT count(*), coalesce(sum(result_bytes), 0) FROM jobs WHERE owner = ?1 AND ended_ms IS NOT NULL AND status <> 'deleted'",
    )?;
    let number = |row: &Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    statement.query_row([&owner.0], |row| Ok((number(row, 0)?, number(row, 1)?)))
}

/// How far the jobs that wait are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// The last job that was submitted.
    pub seq: i64,
    /// How often jobs were announced that wait again.
    pub requeued: i64,
}

/// How often jobs were announced.
const REQUEUED: &str = "coalesce((SELECT value FROM meta WHERE name = 'requeued'), 0)";

/// Where to list from, if there may be jobs that wait and are not known.
pub(crate) fn news(db: &Connection, seen: Seen) -> rusqlite::Result<Option<i64>> {
    let text = format!(
        "SELECT {REQUEUED}, EXISTS (SELECT 1 FROM jobs WHERE status = 'pending' AND seq > ?1)"
    );
    let mut statement = db.prepare_cached(&text)?;
    let (requeued, is_new): (i64, bool) =
        statement.query_row([seen.seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match (requeued != seen.requeued, is_new) {
        (true, _) => Some(0),
        (false, true) => Some(seen.seq),
        (false, false) => None,
    })
}

/// The jobs that wait and were submitted after this one, the first one first, and how far they are known then.
pub(crate) fn pending(db: &Connection, after: i64) -> rusqlite::Result<(Vec<Pending>, Seen)> {
    let newest = "SELECT coalesce(max(seq), 0) FROM jobs";
    let seen = Seen {
        seq: db.prepare_cached(newest)?.query_row([], |row| row.get(0))?,
        requeued: db
            .prepare_cached(&format!("SELECT {REQUEUED}"))?
            .query_row([], |row| row.get(0))?,
    };
    let text = format!(
        "SELECT {COLUMNS}, rerun, request_bytes FROM jobs WHERE status = 'pending' AND seq > ?1 ORDER BY seq"
    );
    let mut statement = db.prepare_cached(&text)?;
    let rows = statement.query_map([after], |row| {
        Ok(Pending {
            seq: row.get(0)?,
            owner: Owner(row.get(2)?),
            job: job_of(row)?,
            rerun: Rerun::parse(&row.get::<_, String>(10)?).unwrap_or_default(),
            request_bytes: row.get::<_, i64>(11)?.unsigned_abs(),
        })
    })?;
    Ok((rows.collect::<rusqlite::Result<_>>()?, seen))
}

/// The jobs that another process was asked to cancel, and that have not ended.
pub(crate) fn asked_to_cancel(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        db.prepare_cached("SELECT id FROM jobs WHERE cancel = 1 AND ended_ms IS NULL")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Asks the process that has a job to cancel it.
pub(crate) fn ask_to_cancel(db: &Connection, job_id: &str) -> rusqlite::Result<()> {
    let mut statement =
        db.prepare_cached("UPDATE jobs SET cancel = 1 WHERE id = ?1 AND ended_ms IS NULL")?;
    statement.execute([job_id]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::{Artifact, ExecutionResult, Isolation, LimitKind, Usage};

    /// A result in which every field has a value.
    fn full_result() -> ExecutionResult {
        let usage = Usage { cpu_time_ms: 1, peak_memory_bytes: 2, wall_time_ms: 3 };
        let text = |text: &str| Some(text.to_string());
        ExecutionResult {
            success: false,
            status: Status::Timeout,
            stdout: vec![0, 0xff, b'a', b'\n'],
            stderr: "é\u{0}".into(),
            exit_code: Some(124),
            signal: Some(9),
            limit: Some(LimitKind::Wall),
            error: text("it was too slow"),
            language: text("python"),
            detected_language: text("python"),
            job_id: text("job_1"),
            artifacts: vec![Artifact {
                filename: "a/b.bin".into(),
                kind: "file".into(),
                content: (0..=255).collect(),
                url: None,
            }],
            left_files: vec!["left".into()],
            execution_mode: text("cold"),
            network_mode: text("zerotrust"),
            total_time_ms: Some(7),
            usage: Some(usage),
            compile: Some(usage),
            truncated: true,
            runtime: text("/usr/bin/python3"),
            isolation: Some(Isolation {
                level: "full".into(),
                layers: vec!["a".into()],
                missing: vec!["b".into()],
            }),
            raw: None,
        }
    }

    #[test]
    fn a_result_comes_back_from_the_disk_as_it_was() {
        for result in [full_result(), ExecutionResult::new(Status::Failed)] {
            let mut job = Job::new("job_1", result.status.clone());
            job.result = Some(Arc::new(result.clone()));
            let back = result_in(wire::encode_job(&job, Shape::Lean).into_bytes()).unwrap();
            let given = ExecutionResult { job_id: back.job_id.clone(), ..result };
            assert_eq!(*back, given);
        }
    }
}
