// SPDX-License-Identifier: MIT OR Apache-2.0
//! One program of a run: started with every lock on, watched, and ended with all that it started.

use crate::folder;
use crate::init::oom::OomScore;
use crate::init::streams::RunStreams;
use crate::init::system_v;
use crate::init::watch::{Scope, Watchdog};
use crate::layers::ablation::{self, Layer, is_left_out};
use crate::layers::cgroup::Meter;
use crate::layers::level::Level;
use crate::layers::locks::{Failure, Locks};
use crate::layers::notify::Calls;
use crate::proc;
use crate::sys;
use crate::tree::{self, BETWEEN_TRIES};
use crate::trouble::trouble;
use rustix::process::Resource;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_jailer::commands::{Cause, Plan, RunLimits, Step, StepEnd, StepKind, Then};
use unsandbox_jailer::message::Trouble;

const MB: u64 = 1 << 20;

pub struct Stepper<'a> {
    locks: Locks<'a>,
    /// `processes` among them with those that are not the run's, where the kernel counts these too.
    limits: RunLimits,
    /// Of the run.
    processes: u64,
    /// Whether further programs follow in this jail.
    is_kept: bool,
    env: Vec<CString>,
    signals: OwnedFd,
    watchdog: Watchdog,
    oom_score: Option<OomScore>,
    calls: &'a mut Calls,
}

/// What came from the engine while a program ran.
pub enum Heard {
    Nothing,
    Stop {
        collect: bool,
    },
    Signal(i32),
    /// Nobody is there any more.
    Gone,
}

pub struct Outcome {
    pub end: StepEnd,
    /// Whether artifacts are wanted, where the engine stopped it.
    pub collect: bool,
}

impl<'a> Stepper<'a> {
    pub fn new(
        plan: &Plan,
        mut locks: Locks<'a>,
        meter: Option<Meter>,
        shares_user: bool,
        oom_score: Option<OomScore>,
        calls: &'a mut Calls,
    ) -> io::Result<Stepper<'a>> {
        let mut env: Vec<String> = plan.env.clone();
        if is_left_out(Layer::Environment) {
            env.extend(ablation::environment_of_the_host());
        }
        let env = env.iter().map(|pair| sys::c_string(pair)).collect::<io::Result<_>>()?;
        let scope = match locks.level {
            Level::Full => Scope::Jail,
            Level::Reduced { .. } => Scope::Tree {
                folder: PathBuf::from(&locks.tmp),
                bytes: plan.limits.work_bytes,
                files: plan.limits.work_files,
                looked: Instant::now(),
            },
        };
        let watchdog = Watchdog::new(&plan.limits, scope, meter, shares_user);
        if watchdog.is_all() {
            locks.keep_in_sight();
        }
        let signals = sys::child_signal_fd()?;
        let mut stepper = Stepper {
            locks,
            processes: plan.limits.processes,
            limits: plan.limits,
            is_kept: plan.then == Then::Serve,
            env,
            signals,
            watchdog,
            oom_score,
            calls,
        };
        stepper.count_other_processes();
        Ok(stepper)
    }

    /// Of all programs so far.
    pub fn cpu_time_us(&mut self) -> u64 {
        self.watchdog.cpu_time().as_micros() as u64
    }

    /// Whether no processor time is left for a further program.
    pub fn cpu_is_used_up(&mut self) -> bool {
        self.watchdog.cpu_is_used_up()
    }

    /// For the next program. An error where a pair of `env` holds a NUL byte.
    pub fn prepare(&mut self, env: &[String]) -> io::Result<()> {
        self.env = env.iter().map(|pair| sys::c_string(pair)).collect::<io::Result<_>>()?;
        self.count_other_processes();
        Ok(())
    }

    /// Without a user namespace the kernel counts every process of this user.
    fn count_other_processes(&mut self) {
        if self.locks.level != Level::Full {
            self.limits.processes = self.processes + proc::tasks_of(sys::effective_uid());
        }
    }

    pub fn take(
        &mut self,
        step: &Step,
        streams: RunStreams<'_>,
        ends: [BorrowedFd<'_>; 2],
        started: impl FnOnce() -> io::Result<()>,
        hear: &mut dyn FnMut() -> Heard,
    ) -> Result<Outcome, Trouble> {
        let begin = Instant::now();
        self.watchdog.begin_step();
        let child = self.start(step, streams)?;
        if started().is_err() {
            self.give_up();
        }
        let (cause, code, collect) = self.wait(child, begin, step.wall_ms, ends, hear);
        self.end_everything(ends[1]);
        self.make_executable(step);
        let (cause, code) = match (cause, self.watchdog.verdict_at_end()) {
            // The kernel's own kill looks like any other signal until its counter is read.
            (Cause::Exited | Cause::Signaled, Some(limit)) => (limit, libc::SIGKILL),
            (cause, _) => (cause, code),
        };
        let end = StepEnd {
            cause,
            code,
            cpu_time_us: self.watchdog.cpu_time().as_micros() as u64,
            peak_memory_bytes: self.watchdog.peak_memory_bytes(),
            wall_us: begin.elapsed().as_micros() as u64,
        };
        Ok(Outcome { end, collect })
    }

    /// Returns once the program itself is running.
    fn start(&self, step: &Step, streams: RunStreams<'_>) -> Result<libc::pid_t, Trouble> {
        let broken = |what: &str, error: io::Error| trouble("program", what)(error);
        let argv = step.argv.iter().map(|word| sys::c_string(word)).collect::<io::Result<Vec<_>>>();
        let argv = argv.map_err(|error| broken("read its arguments", error))?;
        let (argv, env) = (sys::Words::of(&argv), sys::Words::of(&self.env));
        let mut failed = None;
        self.oom_score.iter().for_each(OomScore::raise);
        let child = sys::fork_sharing(&mut || {
            self.oom_score.iter().for_each(OomScore::restore);
            failed = Some(match self.put_on_everything(&streams) {
                Ok(()) => ("program", sys::exec(&argv, &env)),
                Err(stage) => stage,
            });
        });
        let child = child.map_err(|error| {
            self.oom_score.iter().for_each(OomScore::restore);
            broken("fork", error)
        })?;
        match failed {
            None => Ok(child),
            Some((stage, error)) => {
                let program = step.argv.first().map_or("", String::as_str);
                let _ = sys::reap(true);
                Err(trouble(stage, program)(error))
            }
        }
    }

    /// Every lock of a program, on this process: the step's own, which shares the init's memory until it
    /// executes the program, and changes nothing there.
    fn put_on_everything(&self, streams: &RunStreams<'_>) -> Result<(), Failure> {
        sys::new_session();
        sys::unblock_signals();
        set_streams(streams).map_err(|e| ("streams", e))?;
        if self.locks.level != Level::Full && !is_left_out(Layer::Rlimits) {
            sys::no_core_file().map_err(|e| ("rlimits", e))?;
        }
        if !is_left_out(Layer::Rlimits) {
            set_rlimits(&self.limits, self.is_kept).map_err(|e| ("rlimits", e))?;
        }
        self.locks.put_on()?;
        if is_left_out(Layer::Descriptors) {
            ablation::leave_descriptors_open();
        } else {
            sys::close_all_but(3, &[]);
        }
        Ok(())
    }

    /// Kills every other process of the run and waits until none is left. In a pid namespace the kernel
    /// walks them all under one lock, so that none forks away meanwhile.
    fn end_everything(&self, parent_socket: BorrowedFd<'_>) {
        if self.locks.level == Level::Full {
            let _ = sys::kill(-1, libc::SIGKILL);
            while sys::reap(true).is_ok() {}
            if self.is_kept {
                system_v::remove_all();
            }
            return;
        }
        tree::end(
            || self.watchdog.members(),
            || {
                sys::drain(self.signals.as_raw_fd());
                let fds = [self.signals.as_raw_fd(), parent_socket.as_raw_fd()];
                if sys::poll_readable(fds, Some(BETWEEN_TRIES)).is_ok_and(|[_, let_go]| let_go) {
                    self.give_up();
                }
            },
        );
    }

    /// Nobody waits for this run any more: the jailer or the engine is gone. The end of a pid
    /// namespace's init ends everything in it; without one the init cleans up first.
    fn give_up(&self) -> ! {
        if self.locks.level != Level::Full {
            tree::end(|| self.watchdog.members(), || std::thread::sleep(BETWEEN_TRIES));
            let _ = folder::remove(Path::new(&self.locks.tmp));
        }
        sys::exit_now(1)
    }

    /// Linkers set the right to execute by path, which the reduced level refuses them.
    fn make_executable(&self, step: &Step) {
        if self.locks.level == Level::Full || step.kind == StepKind::Run {
            return;
        }
        // A compiler may have run the program's own code, which is free to put a link there.
        let _ = folder::make_executable(Path::new(&self.locks.tmp), c"build");
    }

    /// Until the program or its time ends, or the engine asks to stop.
    fn wait(
        &mut self,
        child: libc::pid_t,
        begin: Instant,
        wall_ms: u64,
        [control, parent_socket]: [BorrowedFd<'_>; 2],
        hear: &mut dyn FnMut() -> Heard,
    ) -> (Cause, i32, bool) {
        let deadline = begin + Duration::from_millis(wall_ms);
        let mut next_look = begin + self.watchdog.interval(Duration::ZERO);
        loop {
            let now = Instant::now();
            if now >= deadline {
                return (Cause::Wall, libc::SIGKILL, true);
            }
            let timeout = deadline.min(next_look).saturating_duration_since(now);
            let [signals, control_fd, parent_fd] =
                [self.signals.as_raw_fd(), control.as_raw_fd(), parent_socket.as_raw_fd()];
            let fds = [signals, control_fd, parent_fd, self.calls.descriptor()];
            let Ok([child_ended, spoken, let_go, called]) = sys::poll_readable(fds, Some(timeout))
            else {
                sys::exit_now(1)
            };
            if let_go {
                self.give_up();
            }
            if called {
                self.calls.answer(|| self.watchdog.processes());
            }
            if child_ended {
                sys::drain(self.signals.as_raw_fd());
                if let Some(end) = reap_until(child) {
                    return match end {
                        Ok(code) => (Cause::Exited, code, true),
                        Err(libc::SIGXCPU) if self.watchdog.cpu_is_used_up() => {
                            (Cause::Cpu, libc::SIGKILL, true)
                        }
                        Err(signal) => (Cause::Signaled, signal, true),
                    };
                }
            }
            if spoken {
                match hear() {
                    Heard::Nothing => {}
                    Heard::Stop { collect } => return (Cause::Stopped, libc::SIGKILL, collect),
                    // A session of its own: the program and what it has started there.
                    Heard::Signal(signal) => drop(sys::kill(-child, signal)),
                    Heard::Gone => self.give_up(),
                }
            }
            // However often it is called, a program gets no more looks than another.
            if called && Instant::now() < next_look {
                continue;
            }
            let looked = Instant::now();
            if let Some(limit) = self.watchdog.check() {
                return (limit, libc::SIGKILL, true);
            }
            // At most half of the time, so that calls are answered beside it.
            let pause = self.watchdog.interval(begin.elapsed()).max(looked.elapsed());
            next_look = Instant::now() + pause;
        }
    }
}

/// Reaps whatever has ended; the end of `child` if it is among them.
fn reap_until(child: libc::pid_t) -> Option<Result<i32, i32>> {
    while let Ok(Some(reaped)) = sys::reap(false) {
        if reaped.pid == child {
            return Some(reaped.end());
        }
    }
    None
}

fn set_streams(streams: &RunStreams<'_>) -> io::Result<()> {
    let nothing;
    let fds: [RawFd; 3] = match streams {
        RunStreams::Own(own) => {
            [own.stdin.as_raw_fd(), own.stdout.as_raw_fd(), own.stderr.as_raw_fd()]
        }
        RunStreams::Compiler(words) => {
            nothing = File::options().read(true).write(true).open("/dev/null")?;
            [nothing.as_raw_fd(), words.as_raw_fd(), words.as_raw_fd()]
        }
    };
    // The sources lie above 2, so that none is overwritten before it is used.
    for (target, fd) in fds.into_iter().enumerate() {
        sys::dup2(fd, target as RawFd)?;
    }
    Ok(())
}

/// What the kernel keeps each process to, soft and hard at once.
fn rlimits(limits: &RunLimits, is_kept: bool) -> Vec<(Resource, u64)> {
    // The watchdog counts the time of all processes together.
    let seconds = (limits.cpu_time_ms != 0).then(|| limits.cpu_time_ms.div_ceil(1000) + 1);
    let fixed = [
        (Resource::Nproc, limits.processes + 1), // the init counts too
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.file_size_bytes),
        (Resource::Memlock, 8 * MB),
        (Resource::Msgqueue, if is_kept { 0 } else { MB }),
        (Resource::Sigpending, 1024),
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
    ];
    let time = seconds.map(|seconds| (Resource::Cpu, seconds));
    fixed.into_iter().chain(time).collect()
}

fn set_rlimits(limits: &RunLimits, is_kept: bool) -> io::Result<()> {
    for (resource, value) in rlimits(limits, is_kept) {
        // A host that has less itself gives what it has.
        let hard = sys::hard_rlimit(resource).min(value);
        sys::set_rlimit(resource, hard, hard)?;
    }
    let stack = sys::hard_rlimit(Resource::Stack);
    sys::set_rlimit(Resource::Stack, (8 * MB).min(stack), (64 * MB).min(stack))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of some of these no ordinary host has more, so that a jail there would not show their loss.
    #[test]
    fn every_limit_of_a_process_is_set() {
        let limits = RunLimits {
            memory_bytes: 1 << 30,
            cpu_time_ms: 1_001,
            processes: 10,
            open_files: 20,
            file_size_bytes: 30,
            work_bytes: 40,
            work_files: 50,
        };
        let mut expected = vec![
            (Resource::Nproc, 11),
            (Resource::Nofile, 20),
            (Resource::Fsize, 30),
            (Resource::Memlock, 8 << 20),
            (Resource::Msgqueue, 1 << 20),
            (Resource::Sigpending, 1024),
            (Resource::Rtprio, 0),
            (Resource::Nice, 0),
            (Resource::Cpu, 3),
        ];
        assert_eq!(rlimits(&limits, false), expected);
        expected.pop();
        assert_eq!(rlimits(&RunLimits { cpu_time_ms: 0, ..limits }, false), expected);
        // A queue has no name that the init could find, so that it would be the next program's.
        assert!(rlimits(&limits, true).contains(&(Resource::Msgqueue, 0)));
    }
}
