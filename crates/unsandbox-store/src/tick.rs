// SPDX-License-Identifier: MIT OR Apache-2.0
//! Periodic work: the queue of a process that has ended, its lost jobs, the ends of jobs that other processes run, expired
//! results, and changes that the disk has refused.

use crate::keys::{self, Name};
use crate::lease;
use crate::live::{Active, Elsewhere};
use crate::recovery::{self, Process};
use crate::retention;
use crate::rows::{self, Pending, Seen};
use crate::shared::Shared;
use rusqlite::params;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelReason, Error, ErrorCode, Job};

/// How often the disk is looked at while another process uses the store, too.
const SOON: Duration = Duration::from_millis(100);
/// How often otherwise.
const SECOND: Duration = Duration::from_secs(1);
/// How often results past their retention are looked for, and the time of the store is saved.
const CLEANING: Duration = Duration::from_secs(5);

/// The thread of the periodic work.
pub(crate) struct Ticks {
    shared: Arc<Shared>,
    cleaned: Instant,
    written: Instant,
    generation_since: Instant,
    /// Other processes that use the store.
    others: Vec<Process>,
}

impl Ticks {
    pub(crate) fn new(shared: Arc<Shared>) -> Ticks {
        let now = Instant::now();
        Ticks { shared, cleaned: now, written: now, generation_since: now, others: Vec::new() }
    }

    /// Runs until the store is closed.
    pub(crate) fn run(mut self) {
        let begun = Instant::now();
        loop {
            let pause = if self.looks_soon() { SOON } else { SECOND };
            let live = self.shared.live();
            if live.closed {
                return;
            }
            let waited = self.shared.tick_now.wait_timeout(live, pause);
            let live = waited.unwrap_or_else(PoisonError::into_inner).0;
            if live.closed {
                return;
            }
            drop(live);
            if let Err(error) = self.tick() {
                log::warn!("{error}");
            }
            if begun.elapsed() >= CLEANING {
                self.shared.adopted.forget();
            }
        }
    }

    /// Whether something of another process is waited for.
    fn looks_soon(&self) -> bool {
        let live = self.shared.live();
        !self.others.is_empty() || !live.elsewhere.is_empty() || !live.has_queue
    }

    /// Does all periodic work that is due.
    ///
    /// # Errors
    /// STORE, if the disk could not be read or written; the next tick tries again.
    pub(crate) fn tick(&mut self) -> Result<(), Error> {
        let process = self.shared.process;
        self.others =
            self.shared.database.read("list processes", |db| recovery::others(db, process))?;
        self.take_the_queue()?;
        self.recover_jobs()?;
        self.look_for_jobs()?;
        self.obey_cancels()?;
        self.report_ends_elsewhere()?;
        if self.written.elapsed() >= SECOND {
            self.written = Instant::now();
            self.shared.write_again();
        }
        self.shared.dispatch();
        if self.cleaned.elapsed() >= CLEANING {
            self.cleaned = Instant::now();
            self.clean()?;
        }
        Ok(())
    }

    /// Takes the queue, if no process has it.
    fn take_the_queue(&mut self) -> Result<(), Error> {
        let shared = self.shared.clone();
        let may_take = {
            let live = shared.live();
            !live.has_queue && !live.draining
        };
        if !may_take {
            return Ok(());
        }
        if lock(&shared.queue_lease).is_none() {
            let path = lease::queue_file(shared.database.path());
            let taken = lease::take(&path).map_err(|error| {
                let text = format!("cannot lock {}: {error}", path.display());
                Error::new(ErrorCode::Store, text)
            })?;
            let Some(taken) = taken else { return Ok(()) };
            *lock(&shared.queue_lease) = Some(taken);
        }
        // First, so that no job of a process that has ended is taken for one that runs.
        self.recover_jobs()?;
        *lock(&shared.seen) = Seen { seq: 0, requeued: -1 };
        let mut live = shared.live();
        live.has_queue = !live.draining;
        let draining = live.draining;
        drop(live);
        if draining {
            drop(lock(&shared.queue_lease).take());
        } else {
            log::info!("this process runs the jobs of {}", shared.database.path().display());
        }
        Ok(())
    }

    /// Ends or queues the jobs of processes that have ended.
    fn recover_jobs(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        if lock(&shared.queue_lease).is_none() {
            return Ok(());
        }
        let mut ended = Vec::new();
        for process in &self.others {
            let file = lease::process_file(shared.database.path(), process.id);
            if !lease::has_ended(&file, process.pid) {
                continue;
            }
            let (process, now, reading) = (*process, shared.now(), shared.clone());
            let lost = shared.writer.write_now("recover the jobs of a process", move |db| {
                recovery::recover(db, process, now, &reading.adopted)
            })?;
            let _ = std::fs::remove_file(file);
            let count = lost.count;
            log::warn!("a process that used the store has ended; it ran {count} jobs then");
            lost.ended.into_iter().for_each(|end| shared.adopted_ended(end));
            ended.push(process);
        }
        self.others.retain(|process| !ended.contains(process));
        Ok(())
    }

    /// Looks for jobs that wait on the disk and are not known: those of other processes, and recovered ones.
    fn look_for_jobs(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if !shared.live().has_queue {
            return Ok(());
        }
        let seen = *lock(&shared.seen);
        let news = shared.database.read("look for jobs", |db| rows::news(db, seen))?;
        if let Some(after) = news {
            let listing = shared.clone();
            // On the writer's thread no job can leave the queue between the reading and the entering.
            shared.writer.write(
                "list waiting jobs",
                move |db| rows::pending(db, after),
                move |listed| listing.enter_jobs(listed),
            );
        }
        Ok(())
    }

    fn obey_cancels(&self) -> Result<(), Error> {
        let asked = self.shared.database.read("list cancels", rows::asked_to_cancel)?;
        for job_id in asked {
            let is_ours = self.shared.live().active.contains_key(&job_id);
            if is_ours {
                self.shared.cancel_by_id(&job_id, CancelReason::Caller);
            }
        }
        Ok(())
    }

    /// Reports the ends of jobs that another process has run.
    fn report_ends_elsewhere(&self) -> Result<(), Error> {
        let mut waiting = std::mem::take(&mut self.shared.live().elsewhere);
        let mut asked: HashMap<String, Option<Result<Job, Error>>> = HashMap::new();
        let (mut still, mut failed) = (Vec::new(), Ok(()));
        while let Some(Elsewhere { job_id, sink }) = waiting.pop() {
            if !sink.is_wanted() {
                continue;
            }
            let known = asked.get(&job_id).cloned();
            let end = match known.map_or_else(|| self.end_elsewhere(&job_id), Ok) {
                Ok(end) => end,
                Err(error) => {
                    failed = Err(error);
                    still.push(Elsewhere { job_id, sink });
                    break;
                }
            };
            asked.insert(job_id.clone(), end.clone());
            match end {
                Some(end) => sink.finished(end),
                None => still.push(Elsewhere { job_id, sink }),
            }
        }
        let mut live = self.shared.live();
        for Elsewhere { job_id, sink } in still.into_iter().chain(waiting) {
            // It may be this process that has it by now.
            match live.active.get_mut(&job_id) {
                Some(active) => active.watchers.push(sink),
                None => live.elsewhere.push(Elsewhere { job_id, sink }),
            }
        }
        failed
    }

    fn end_elsewhere(&self, job_id: &str) -> Result<Option<Result<Job, Error>>, Error> {
        let found = self.shared.database.read("read a job", |db| rows::job(db, job_id))?;
        Ok(match found {
            None => Some(Err(self.shared.unknown(job_id))),
            Some(stored) if stored.job.status.is_terminal() => Some(Ok(stored.job)),
            Some(_) => None,
        })
    }

    /// Removes results past their retention, saves the time of the store, and begins a generation of keys.
    fn clean(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        let keep = shared.options.retention;
        loop {
            let now = shared.clock.now_ms();
            let expired = shared
                .database
                .read("look for expired results", |db| retention::expired(db, keep, now))?;
            if expired.is_empty() {
                break;
            }
            let is_full = expired.is_full();
            shared
                .writer
                .write_now("remove expired results", move |db| retention::remove(db, &expired))?;
            if !is_full {
                break;
            }
        }
        let is_next = self.generation_since.elapsed() >= keep.time / 2;
        let now = shared.clock.now_ms();
        let name = shared.writer.write_now("save the time", move |db| {
            if is_next {
                keys::next_generation(db)?;
            }
            db.prepare_cached(
                "INSERT INTO meta (name, value) VALUES ('time_ms', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute(params![now])?;
            retention::shrink(db)?;
            Name::read(db)
        })?;
        if is_next {
            self.generation_since = Instant::now();
        }
        lock(&shared.name).advance(name);
        Ok(())
    }
}

impl Shared {
    /// Enters jobs that were found on the disk into the queue.
    fn enter_jobs(self: &Arc<Self>, listed: Result<(Vec<Pending>, Seen), Error>) {
        let Ok((pending, seen)) = listed else { return };
        let mut live = self.live();
        if !live.has_queue || live.draining {
            return;
        }
        for Pending { seq, owner, job, rerun, request_bytes } in pending {
            let job_id = job.job_id.clone();
            if live.active.contains_key(&job_id) {
                continue;
            }
            live.count(&owner, request_bytes);
            live.waiting.push(&owner, job_id.clone());
            live.active.insert(job_id, Active::new(seq, owner, job, rerun, request_bytes));
        }
        drop(live);
        *lock(&self.seen) = seen;
        self.dispatch();
    }
}
