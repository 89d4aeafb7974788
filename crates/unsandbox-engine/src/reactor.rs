// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's one thread. It reads the output of programs and the messages of the inits and the jailer, enforces
//! deadlines, and ends jobs. It waits only for the next event, and, after all runs have ended with their jailer, for
//! the start of the next jailer.

use crate::jailer::run::{Progress, Run, refusal};
use crate::jailer::start::{Jailer, block_signals};
use crate::jailer::token::{self, JAILER_ENDED, JAILER_SOCKET, WAKE};
use crate::shared::EngineShared;
use rustix::event::epoll;
use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::message::{FromJailer, ToJailer};
use unsandbox_protocol::{Error, ErrorCode};

/// How long after the last event the thread still wakes by its clock before it sleeps without a time limit.
const LINGER: Duration = Duration::from_secs(5);
/// A killed init is gone within this time; otherwise the init or the jailer hangs.
const KILL_GRACE: Duration = Duration::from_secs(5);

thread_local! {
    static IS_REACTOR: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is a reactor: an engine dropped in a callback must not wait for it.
pub fn is_this_thread() -> bool {
    IS_REACTOR.get()
}

pub struct Reactor {
    shared: Arc<EngineShared>,
    runs: HashMap<u64, Run>,
    buffer: Vec<u8>,
}

impl Reactor {
    pub fn run(shared: Arc<EngineShared>) {
        block_signals();
        IS_REACTOR.set(true);
        let mut reactor = Reactor { shared, runs: HashMap::new(), buffer: Vec::new() };
        let mut events = Vec::with_capacity(256);
        while !reactor.shared.stopping.load(Ordering::SeqCst) {
            events.clear();
            let timeout = reactor.timeout();
            let waited = epoll::wait(
                &reactor.shared.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            );
            reactor.shared.asleep.store(false, Ordering::SeqCst);
            match waited {
                Ok(0) => reactor.on_quiet(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    log::error!("the engine's event queue failed: {error}");
                    break;
                }
            }
            reactor.take_in_new_runs();
            // Of a run, messages before output: its start is one of them.
            events.sort_by_key(|event| token::is_output(event.data.u64()));
            for event in &events {
                reactor.on_event(event.data.u64());
            }
            reactor.keep_deadlines();
        }
        // All callers that still wait get an end, whatever ended this thread.
        reactor.shared.abandon();
    }

    fn timeout(&self) -> Option<rustix::event::Timespec> {
        if self.shared.asleep.load(Ordering::SeqCst) {
            return None;
        }
        let now = Instant::now();
        let runs = self.runs.values().map(|run| run.handle.deadline()).min();
        let calls = self.shared.jobs().next_deadline();
        let next = runs.into_iter().chain(calls).min();
        let wait = next.map_or(LINGER, |next| next.saturating_duration_since(now).min(LINGER));
        Some(rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        })
    }

    /// Called when nothing happened for a while: removes expired jobs, and sleeps until woken if none are left.
    fn on_quiet(&mut self) {
        let mut jobs = self.shared.jobs();
        jobs.finished.expire();
        // A run that was launched before this check has not woken the reactor, and has a deadline.
        if self.runs.is_empty() && jobs.is_quiet() {
            self.shared.asleep.store(true, Ordering::SeqCst);
        }
    }

    fn take_in_new_runs(&mut self) {
        let (new, followed) = {
            let mut jobs = self.shared.jobs();
            (std::mem::take(&mut jobs.launched), std::mem::take(&mut jobs.followed))
        };
        self.runs.extend(new);
        for (id, job_id) in followed {
            // The followers of a run that has ended get everything with its end.
            let Some(run) = self.runs.get_mut(&id) else { continue };
            let taken = self.shared.jobs().take_followers(&job_id);
            if let Some((job, followers)) = taken {
                run.follow(&job, followers);
            }
        }
    }

    fn on_event(&mut self, number: u64) {
        match number {
            WAKE => self.shared.clear_wake(),
            JAILER_SOCKET => {
                self.read_jailer_messages();
                self.shared.launch_after_full();
            }
            JAILER_ENDED => self.on_jailer_end(),
            _ => {
                let (id, which) = token::run_of(number);
                self.on_run_event(id, which);
            }
        }
    }

    fn on_run_event(&mut self, id: u64, which: u64) {
        // Unknown between its launch and the next `take_in_new_runs`.
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.on_readable(which, &mut self.buffer) {
            Progress::Going => {}
            Progress::Started => tell_started(&self.shared, run),
            Progress::Finished => self.end(id),
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(mut run) = self.runs.remove(&id) {
            let (job_id, owner) = (run.job_id.clone(), run.owner.clone());
            if let Some(layer) = run.failed_layer() {
                self.shared.measured.jail_failed(layer);
            }
            // The start and the end of a quick run are read together: it started before.
            if run.is_start_untold()
                && let Some(job) = self.shared.started(&job_id, run.ran_for())
            {
                run.tell_started(&job);
            }
            self.shared.end_run(&job_id, &owner, run.into_result());
        }
    }

    fn read_jailer_messages(&mut self) {
        let Some(jailer) = self.shared.link.get() else { return };
        while let Ok(Some((len, _))) =
            channel::receive_into(jailer.socket.as_fd(), false, &mut self.buffer)
        {
            match FromJailer::from_bytes(&self.buffer[..len]) {
                Some(FromJailer::Exited { id, out_of_memory }) => {
                    self.take_in_new_runs();
                    if let Some(run) = self.runs.get_mut(&id) {
                        run.on_exit(out_of_memory, &mut self.buffer);
                        self.end(id);
                    }
                }
                Some(FromJailer::Refused { id, trouble }) => {
                    self.take_in_new_runs();
                    log::warn!("{}", refusal(&trouble));
                    if let Some(run) = self.runs.get_mut(&id) {
                        run.refuse(trouble);
                        run.on_exit(false, &mut self.buffer);
                        self.end(id);
                    }
                }
                Some(FromJailer::Killing { id }) => {
                    if let Some(run) = self.runs.get(&id) {
                        run.handle.confirm_kill();
                    }
                }
                Some(report @ FromJailer::Layers { .. }) => self.shared.link.answer_probe(report),
                Some(FromJailer::Hello { .. }) | None => {}
            }
        }
    }

    /// All runs end with their jailer; queued jobs get a new one.
    fn on_jailer_end(&mut self) {
        let Some(jailer) = self.shared.link.take() else { return };
        jailer.wait();
        self.take_in_new_runs();
        let ids: Vec<u64> = self.runs.keys().copied().collect();
        for id in ids {
            self.fail(id, "the jailer process was ended from outside while the program ran");
        }
        self.shared.resume();
    }

    fn fail(&mut self, id: u64, text: &str) {
        if let Some(mut run) = self.runs.remove(&id) {
            run.on_exit(false, &mut self.buffer);
            let error = Error::new(ErrorCode::Server, text);
            self.shared.end_run(&run.job_id, &run.owner, Err(error));
        }
    }

    /// Kills runs that are past their deadline from outside. A run that does not end after that fails alone, unless the
    /// jailer does not answer.
    fn keep_deadlines(&mut self) {
        let now = Instant::now();
        self.shared.end_overdue(now);
        let late: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.handle.deadline() <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let Some(jailer) = self.shared.link.get() else { continue };
            let handle = self.runs[&id].handle.clone();
            if !handle.is_given_up() {
                handle.give_until(now + KILL_GRACE);
                // Without blocking: a jailer that reads no message is detected at this deadline.
                let _ = channel::try_send(jailer.socket.as_fd(), &ToJailer::Kill { id }, &[]);
            } else if handle.is_kill_confirmed() {
                log::error!("a run's processes do not end although they were killed");
                self.fail(id, "its processes did not end within 5 s of being killed");
            } else {
                self.kill_jailer(&jailer);
                return;
            }
        }
    }

    fn kill_jailer(&self, jailer: &Jailer) {
        log::error!("the jailer does not answer and is killed");
        let _ = rustix::process::pidfd_send_signal(&jailer.pidfd, rustix::process::Signal::KILL);
    }
}

fn tell_started(shared: &EngineShared, run: &mut Run) {
    if let Some(job) = shared.started(&run.job_id, Duration::ZERO) {
        run.tell_started(&job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Record, Waiting};
    use crate::options::EngineOptions;
    use crate::programs::access::Access;
    use crate::programs::plan::Prepared;
    use crate::programs::{runtimes, stdin};
    use unsandbox_protocol::backend::NoSink;
    use unsandbox_protocol::{CancelToken, Job, Owner, Request, Status, language};

    /// The record of a job that is being accepted.
    fn record(shared: &EngineShared) -> Record {
        let bash = language::find_language("bash").unwrap();
        let runtime = runtimes::find(bash, None, None, Access::by_the_host()).unwrap();
        let request = Request::new("bash", "true");
        let waiting = Waiting {
            prepared: Prepared::new(request.validate().unwrap(), bash, runtime).unwrap(),
            stdin: stdin::prepare(None, None).unwrap(),
            full_level: shared.link.get().unwrap().has_own_trees(),
        };
        let job = Job::new("job", Status::Pending);
        Record::new(job, Owner::default(), Arc::new(NoSink), waiting)
    }

    #[test]
    fn the_reactor_sleeps_with_a_time_limit_after_a_launch() {
        let shared = Arc::new(EngineShared::new(EngineOptions::default()).unwrap());
        let mut reactor =
            Reactor { shared: shared.clone(), runs: HashMap::new(), buffer: Vec::new() };
        let jailer = shared.ensure_jailer().unwrap();
        // The state after an event, before the check of the time.
        shared.asleep.store(false, Ordering::SeqCst);
        {
            let mut jobs = shared.jobs();
            let record = record(&shared);
            jobs.accepting.add(&record.owner);
            jobs.insert(record);
        }
        shared.queue("job", None, &CancelToken::new());
        assert_eq!(shared.jobs().launched.len(), 1);
        reactor.on_quiet();
        reactor.take_in_new_runs();
        assert!(reactor.timeout().is_some(), "the run's deadline is to be kept");
        shared.link.take();
        jailer.end();
    }
}
