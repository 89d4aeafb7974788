// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's one thread: it reads what programs write, hears the inits and the jailer, keeps the
//! deadlines, and ends jobs. It never waits for anything but the next event; only when every run has
//! ended with its jailer, for the next jailer.

use crate::core::Core;
use crate::jailer::run::{Progress, Run, refusal};
use crate::jailer::start::{Jailer, block_signals};
use crate::jailer::token::{self, JAILER_ENDED, JAILER_SOCKET, WAKE};
use crate::jobs::tell;
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
use unsandbox_protocol::{Error, ErrorCode, Event};

/// After the last event the thread looks at its clock for this long before it sleeps for good.
const LINGER: Duration = Duration::from_secs(5);
/// A killed init is gone within this time, or one of the two hangs.
const KILL_GRACE: Duration = Duration::from_secs(5);

thread_local! {
    static IS_REACTOR: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is a reactor: an engine dropped in a callback must not wait for it.
pub fn is_this_thread() -> bool {
    IS_REACTOR.get()
}

pub struct Reactor {
    core: Arc<Core>,
    runs: HashMap<u64, Run>,
    buffer: Vec<u8>,
}

impl Reactor {
    pub fn run(core: Arc<Core>) {
        block_signals();
        IS_REACTOR.set(true);
        let mut reactor = Reactor { core, runs: HashMap::new(), buffer: Vec::new() };
        let mut events = Vec::with_capacity(256);
        while !reactor.core.stopping.load(Ordering::SeqCst) {
            events.clear();
            let timeout = reactor.timeout();
            let waited = epoll::wait(
                &reactor.core.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            );
            reactor.core.asleep.store(false, Ordering::SeqCst);
            match waited {
                Ok(0) => reactor.on_quiet(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    log::error!("the engine's event queue failed: {error}");
                    break;
                }
            }
            reactor.take_in_new_runs();
            for event in &events {
                reactor.on_event(event.data.u64());
            }
            reactor.keep_deadlines();
        }
        // Whoever still waits hears of it, whatever ended this thread.
        reactor.core.abandon();
    }

    fn timeout(&self) -> Option<rustix::event::Timespec> {
        if self.core.asleep.load(Ordering::SeqCst) {
            return None;
        }
        let now = Instant::now();
        let runs = self.runs.values().map(|run| run.handle.deadline()).min();
        let calls = self.core.jobs().next_deadline();
        let next = runs.into_iter().chain(calls).min();
        let wait = next.map_or(LINGER, |next| next.saturating_duration_since(now).min(LINGER));
        Some(rustix::event::Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        })
    }

    /// Nothing for a while: lets kept jobs go, and sleeps until woken if there are none.
    fn on_quiet(&mut self) {
        let mut jobs = self.core.jobs();
        jobs.finished.expire();
        // A run that was launched before this look has woken nobody, and has a deadline.
        if self.runs.is_empty() && jobs.is_quiet() {
            self.core.asleep.store(true, Ordering::SeqCst);
        }
    }

    fn take_in_new_runs(&mut self) {
        let new = std::mem::take(&mut self.core.jobs().launched);
        self.runs.extend(new);
    }

    fn on_event(&mut self, number: u64) {
        match number {
            WAKE => self.core.clear_wake(),
            JAILER_SOCKET => {
                self.hear_jailer();
                self.core.launch_after_full();
            }
            JAILER_ENDED => self.on_jailer_end(),
            _ => {
                let (id, which) = token::run_of(number);
                self.on_run_event(id, which);
            }
        }
    }

    fn on_run_event(&mut self, id: u64, which: u64) {
        // Unknown for the moment between its launch and the next look into the inbox.
        let Some(run) = self.runs.get_mut(&id) else { return };
        match run.on_readable(which, &mut self.buffer) {
            Progress::Going => {}
            Progress::Started => {
                let (job_id, sink) = (run.job_id.clone(), run.sink.clone());
                let job = self.core.jobs().active(&job_id).map(|record| record.job.clone());
                if let Some(job) = job.filter(|_| !run.handle.is_left())
                    && !tell::event(&*sink, Event::Started(&job))
                {
                    run.handle.leave();
                }
            }
            Progress::Finished => self.end(id),
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(run) = self.runs.remove(&id) {
            let job_id = run.job_id.clone();
            self.core.end_run(&job_id, run.into_result());
        }
    }

    fn hear_jailer(&mut self) {
        let Some(jailer) = self.core.link.get() else { return };
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
                Some(report @ FromJailer::Layers { .. }) => self.core.link.answer_probe(report),
                Some(FromJailer::Hello { .. }) | None => {}
            }
        }
    }

    /// Every run dies with the jailer; those that have not begun get a new one.
    fn on_jailer_end(&mut self) {
        let Some(jailer) = self.core.link.forget() else { return };
        jailer.wait();
        self.take_in_new_runs();
        let ids: Vec<u64> = self.runs.keys().copied().collect();
        for id in ids {
            self.fail(id, "the jailer process was ended from outside while the program ran");
        }
        self.core.resume();
    }

    fn fail(&mut self, id: u64, text: &str) {
        if let Some(mut run) = self.runs.remove(&id) {
            run.on_exit(false, &mut self.buffer);
            let job_id = run.job_id.clone();
            self.core.end_run(&job_id, Err(Error::new(ErrorCode::Server, text)));
        }
    }

    /// A run past its deadline is killed from outside. One that even that does not end is given up, and
    /// no other with it, unless it is the jailer that does not answer.
    fn keep_deadlines(&mut self) {
        let now = Instant::now();
        self.core.end_overdue(now);
        let late: Vec<u64> = self
            .runs
            .iter()
            .filter(|(_, run)| run.handle.deadline() <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let Some(jailer) = self.core.link.get() else { continue };
            let handle = self.runs[&id].handle.clone();
            if !handle.is_given_up() {
                handle.give_until(now + KILL_GRACE);
                // Without waiting: a jailer that takes no message is found out at this deadline.
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

    /// A job that is accepted in a moment.
    fn record(core: &Core) -> Record {
        let bash = language::find_language("bash").unwrap();
        let runtime = runtimes::find(bash, None, Access::by_the_host()).unwrap();
        let request = Request::new("bash", "true");
        let waiting = Waiting {
            prepared: Prepared::new(request.validate().unwrap(), bash, runtime).unwrap(),
            stdin: stdin::prepare(None, None).unwrap(),
            full_level: core.link.get().unwrap().has_own_trees(),
        };
        Record {
            job: Job::new("job", Status::Pending),
            owner: Owner::default(),
            listed: false,
            submitted: Instant::now(),
            sink: Arc::new(NoSink),
            watchers: Vec::new(),
            waiting: Some(waiting),
            handle: None,
            guard: None,
            is_accepted: false,
            cancelled: None,
            deadline: None,
        }
    }

    #[test]
    fn the_reactor_does_not_sleep_for_good_beside_a_run_that_was_just_launched() {
        let core = Arc::new(Core::new(EngineOptions::default()).unwrap());
        let mut reactor = Reactor { core: core.clone(), runs: HashMap::new(), buffer: Vec::new() };
        let jailer = core.ensure_jailer().unwrap();
        // As after an event, before the look at the time.
        core.asleep.store(false, Ordering::SeqCst);
        {
            let mut jobs = core.jobs();
            jobs.accepting += 1;
            jobs.insert(record(&core));
        }
        core.queue("job", None, &CancelToken::new());
        assert_eq!(core.jobs().launched.len(), 1);
        reactor.on_quiet();
        reactor.take_in_new_runs();
        assert!(reactor.timeout().is_some(), "the run's deadline is to be kept");
        core.link.forget();
        jailer.end();
    }
}
