// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of the jobs of a process that has ended: those that it ran are lost, and run again only if their
//! submission said so.

use crate::adopted::{Adopted, AdoptedEnd};
use crate::rows::{self, COLUMNS, End};
use rusqlite::{Connection, params};
use std::sync::Arc;
use unsandbox_protocol::{ExecutionResult, Job, Owner, Rerun, Status};

/// A job is started so often at most: one that ends its server each time must not do so for ever.
pub(crate) const ATTEMPTS_MAX: i64 = 5;

/// A process that has used the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    pub id: i64,
    pub pid: i64,
}

/// Enters this process.
pub(crate) fn enter(db: &Connection, id: i64, since: i64) -> rusqlite::Result<()> {
    let pid = i64::from(std::process::id());
    let insert = "INSERT INTO processes (id, pid, since) VALUES (?1, ?2, ?3)";
    db.execute(insert, params![id, pid, since]).map(|_| ())
}

/// The other processes that use the store, or have used it and are not cleared away.
pub(crate) fn others(db: &Connection, own: i64) -> rusqlite::Result<Vec<Process>> {
    let mut statement = db.prepare_cached("SELECT id, pid FROM processes WHERE id <> ?1")?;
    statement.query_map([own], |row| Ok(Process { id: row.get(0)?, pid: row.get(1)? }))?.collect()
}

/// Makes all jobs that have not ended those of a process that has ended, and removes all webhooks.
pub(crate) fn leave_all(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "BEGIN IMMEDIATE; DELETE FROM webhooks; DELETE FROM processes; INSERT INTO processes (id, pid, since) VALUES (0, 0, 0); \
         UPDATE jobs SET status = 'running', process = 0, attempts = attempts + 1 WHERE ended_ms IS NULL; COMMIT",
    )
}

/// When a job is found to be lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub store_ms: i64,
    pub unix_seconds: i64,
}

/// What became of the jobs that a process ran as it ended.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub count: usize,
    /// Those that do not run again.
    pub ended: Vec<AdoptedEnd>,
}

/// A job that a process ran as it ended.
struct Lost {
    seq: i64,
    owner: Owner,
    job: Job,
    rerun: Rerun,
    attempts: i64,
    cancelled: bool,
    request_bytes: u64,
}

/// Ends or queues the jobs of a process that has ended.
pub(crate) fn recover(
    db: &Connection,
    process: Process,
    now: Now,
    adopted: &Adopted,
) -> rusqlite::Result<Recovered> {
    let lost = lost(db, process)?;
    let (count, mut ends) = (lost.len(), Vec::new());
    for Lost { seq, owner, job, rerun, attempts, cancelled, request_bytes } in lost {
        if rerun == Rerun::IfLost && attempts < ATTEMPTS_MAX && !cancelled {
            let again = "UPDATE jobs SET status = 'pending', process = NULL WHERE seq = ?1";
            db.prepare_cached(again)?.execute([seq])?;
            continue;
        }
        let job = Arc::new(ended(job, rerun, attempts, cancelled, now));
        let request = adopted.request(db, seq, request_bytes)?;
        let end = End::new(seq, job.clone(), Some(process.id), now.store_ms);
        rows::finish(db, &end)?;
        let (error, result_bytes) = (None, end.result_bytes());
        ends.push(AdoptedEnd { owner, job, error, request, result_bytes });
    }
    rows::announce(db)?;
    db.execute("DELETE FROM processes WHERE id = ?1", [process.id])?;
    Ok(Recovered { count, ended: ends })
}

fn lost(db: &Connection, process: Process) -> rusqlite::Result<Vec<Lost>> {
    let text = format!(
        "SELECT {COLUMNS}, rerun, attempts, cancel, request_bytes FROM jobs WHERE process = ?1 AND ended_ms IS NULL"
    );
    let mut statement = db.prepare(&text)?;
    let lost = statement.query_map([process.id], |row| {
        Ok(Lost {
            seq: row.get(0)?,
            owner: Owner(row.get(2)?),
            job: rows::job_of(row)?,
            rerun: Rerun::parse(&row.get::<_, String>(10)?).unwrap_or_default(),
            attempts: row.get(11)?,
            cancelled: row.get(12)?,
            request_bytes: row.get::<_, i64>(13)?.unsigned_abs(),
        })
    })?;
    lost.collect()
}

fn ended(mut job: Job, rerun: Rerun, attempts: i64, cancelled: bool, now: Now) -> Job {
    job.status = Status::Failed;
    let mut result = ExecutionResult::new(Status::Failed);
    let why = match rerun {
        _ if cancelled => "it was not started again, because it was cancelled".into(),
        Rerun::Never => {
            "it was not started again, because its submission did not say rerun: \"if_lost\"".into()
        }
        Rerun::IfLost => format!("it was started {attempts} times, and is not started again"),
    };
    result.error = Some(format!(
        "the server ended while this job ran; its program may have run, wholly or in part; {why}"
    ));
    result.language.clone_from(&job.language);
    result.detected_language.clone_from(&job.detected_language);
    result.network_mode.clone_from(&job.network_mode);
    result.job_id = Some(job.job_id.clone());
    job.completed_at = Some(now.unix_seconds);
    job.result = Some(Arc::new(result));
    job
}
