// SPDX-License-Identifier: MIT OR Apache-2.0
//! What time brings: the queue of a process that has ended, its lost jobs, the ends of jobs that other processes run,
//! results past their retention, and ends that could not be written before.

use crate::keys::{self, Name};
use crate::lease;
use crate::live::{Active, Elsewhere, Stage};
use crate::recovery::{self, Process};
use crate::retention;
use crate::rows::{self, End, Pending};
use crate::shared::Shared;
use rusqlite::params;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{CancelReason, Error, Job};

/// How often the disk is looked at while another process uses the store, too.
const SOON: Duration = Duration::from_millis(100);
/// How often otherwise.
const SECOND: Duration = Duration::from_secs(1);
/// How often results past their retention are looked for, and the time of the store is saved.
const CLEANING: Duration = Duration::from_secs(5);

/// The work of the thread that looks at the clock.
pub(crate) struct Ticks {
    shared: Arc<Shared>,
    cleaned: Instant,
    generation_since: Instant,
    /// Other processes that use the store.
    others: Vec<Process>,
}

impl Ticks {
    pub(crate) fn new(shared: Arc<Shared>) -> Ticks {
        let now = Instant::now();
        Ticks { shared, cleaned: now, generation_since: now, others: Vec::new() }
    }

    /// Runs until the store is closed.
    pub(crate) fn run(mut self) {
        loop {
            let pause = if self.looks_soon() { SOON } else { SECOND };
            let live = self.shared.live();
            if live.closed {
                return;
            }
            let waited = self.shared.changed.wait_timeout(live, pause);
            let live = waited.expect("no panic under this lock").0;
            if live.closed {
                return;
            }
            drop(live);
            if let Err(error) = self.tick() {
                log::warn!("{error}");
            }
        }
    }

    /// Whether something of another process is waited for.
    fn looks_soon(&self) -> bool {
        let live = self.shared.live();
        !self.others.is_empty() || !live.elsewhere.is_empty() || !live.has_queue
    }

    /// Does what is due.
    ///
    /// # Errors
    /// STORE, if the disk could not be read or written; the next tick tries again.
    pub(crate) fn tick(&mut self) -> Result<(), Error> {
        let process = self.shared.process;
        self.others =
            self.shared.database.read("list processes", |db| recovery::others(db, process))?;
        self.take_the_queue()?;
        self.clear_the_dead()?;
        if !self.others.is_empty() {
            self.take_over_new_jobs()?;
            self.obey_cancels()?;
        }
        self.tell_of_ends_elsewhere()?;
        self.save_again();
        self.shared.dispatch();
        if self.cleaned.elapsed() >= CLEANING {
            self.cleaned = Instant::now();
            self.clean()?;
        }
        Ok(())
    }

    /// Takes the queue, if no process has it.
    fn take_the_queue(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        {
            let live = shared.live();
            if live.has_queue || live.draining {
                return Ok(());
            }
        }
        let path = lease::queue_file(shared.database.path());
        let taken = lease::take(&path).map_err(|error| {
            let text = format!("cannot lock {}: {error}", path.display());
            Error::new(unsandbox_protocol::ErrorCode::Store, text)
        })?;
        let Some(taken) = taken else { return Ok(()) };
        *lock(&shared.queue_lease) = Some(taken);
        self.clear_the_dead()?;
        let shared = &self.shared;
        {
            let mut live = shared.live();
            live.has_queue = !live.draining;
            if live.draining {
                drop(live);
                drop(lock(&shared.queue_lease).take());
                return Ok(());
            }
        }
        let (count, store) = (self.take_over_new_jobs()?, shared.database.path().display());
        log::info!("this process runs the jobs of {store}; {count} wait");
        Ok(())
    }

    /// Ends or queues the jobs of processes that have ended.
    fn clear_the_dead(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        if lock(&shared.queue_lease).is_none() {
            return Ok(());
        }
        let mut cleared = Vec::new();
        for process in &self.others {
            let file = lease::process_file(shared.database.path(), process.id);
            if !lease::is_free(&file) {
                continue;
            }
            let (process, now) = (*process, shared.now());
            let lost = shared
                .writer
                .write_now("clear a process away", move |db| recovery::clear(db, process, now))?;
            let _ = std::fs::remove_file(file);
            log::warn!("a process that used the store has ended; it ran {lost} jobs then");
            cleared.push(process);
        }
        self.others.retain(|process| !cleared.contains(process));
        if !cleared.is_empty() && shared.live().has_queue {
            self.take_over_new_jobs()?;
        }
        Ok(())
    }

    /// Puts jobs into the queue that are on disk only. Returns how many.
    fn take_over_new_jobs(&self) -> Result<usize, Error> {
        let shared = &self.shared;
        if !shared.live().has_queue {
            return Ok(0);
        }
        let pending = shared.database.read("list waiting jobs", rows::pending)?;
        let mut live = shared.live();
        let mut count = 0;
        // Submissions whose acceptance is being told are here already.
        for one in pending {
            let job_id = one.job.job_id.clone();
            if live.active.contains_key(&job_id) {
                continue;
            }
            count += 1;
            live.count(&one.owner, one.request_bytes);
            live.waiting.push(&one.owner, job_id.clone());
            let Pending { seq, owner, job, rerun, request_bytes } = one;
            live.active.insert(job_id, Active::new(seq, owner, job, rerun, request_bytes));
        }
        drop(live);
        if count > 0 {
            self.obey_cancels()?;
        }
        Ok(count)
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

    /// Tells callers the ends of jobs that another process has run.
    fn tell_of_ends_elsewhere(&self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.shared.live().elsewhere);
        let mut asked: HashMap<String, Option<Result<Job, Error>>> = HashMap::new();
        let mut still = Vec::new();
        for Elsewhere { job_id, sink } in waiting {
            if !sink.is_wanted() {
                continue;
            }
            if !asked.contains_key(&job_id) {
                let end = self.end_elsewhere(&job_id)?;
                asked.insert(job_id.clone(), end);
            }
            match asked.get(&job_id).cloned().flatten() {
                Some(end) => sink.finished(end),
                None => still.push(Elsewhere { job_id, sink }),
            }
        }
        let mut live = self.shared.live();
        for Elsewhere { job_id, sink } in still {
            // It may be this process that has it by now.
            match live.active.get_mut(&job_id) {
                Some(active) => active.watchers.push(sink),
                None => live.elsewhere.push(Elsewhere { job_id, sink }),
            }
        }
        Ok(())
    }

    fn end_elsewhere(&self, job_id: &str) -> Result<Option<Result<Job, Error>>, Error> {
        let found = self.shared.database.read("read a job", |db| rows::job(db, job_id))?;
        Ok(match found {
            None => Some(Err(self.shared.unknown(job_id))),
            Some(stored) if stored.job.status.is_terminal() => Some(Ok(stored.job)),
            Some(_) => None,
        })
    }

    /// Tries to write the ends that could not be written before.
    fn save_again(&self) {
        let shared = &self.shared;
        let mut live = shared.live();
        let mut unsaved = Vec::new();
        for (job_id, active) in &mut live.active {
            if let Stage::Unsaved(job) = &active.stage {
                unsaved.push((job_id.clone(), active.seq, job.clone()));
                active.stage = Stage::Ending;
            }
        }
        live.ending += unsaved.len();
        drop(live);
        for (job_id, seq, job) in unsaved {
            let process = Some(shared.process);
            let told = Ok(Job::clone(&job));
            let end = End { seq, job, process, ended_ms: shared.clock.now_ms() };
            shared.save(&job_id, end, told);
        }
    }

    /// Removes results past their retention, saves the time of the store, and begins a generation of keys.
    fn clean(&mut self) -> Result<(), Error> {
        let shared = &self.shared;
        let keep = shared.options.retention;
        loop {
            let now = shared.clock.now_ms();
            let overdue = shared
                .database
                .read("look for old results", |db| retention::overdue(db, keep, now))?;
            if overdue.is_empty() {
                break;
            }
            let is_full = overdue.is_full();
            shared
                .writer
                .write_now("remove old results", move |db| retention::remove(db, &overdue))?;
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
            db.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('time_ms', ?1)")?
                .execute(params![now])?;
            retention::give_room_back(db)?;
            Name::read(db)
        })?;
        if is_next {
            self.generation_since = Instant::now();
        }
        *lock(&shared.name) = name;
        Ok(())
    }
}
