// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one program: starts it with every lock on, watches it, and ends it with all processes that it started.

use crate::folder;
use crate::init::entry;
use crate::init::feed::Feed;
use crate::init::gathered::Gathered;
use crate::init::oom::OomScore;
use crate::init::streams::RunStreams;
use crate::init::system_v;
use crate::init::watch::{Scope, Watchdog};
use crate::layers::ablation::{self, Layer, is_left_out};
use crate::layers::cgroup::{GroupEntry, OpenGroup};
use crate::layers::level::Level;
use crate::layers::locks::{Failure, Locks};
use crate::layers::notify::Calls;
use crate::proc::{self, ProcessInfo};
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

/// The program's use, or the compiler's, and its limits.
struct Account {
    /// Where the kernel counts all processes of the user, `limits.processes` includes those outside the run.
    limits: RunLimits,
    /// The limit for the run alone.
    processes: u64,
    watchdog: Watchdog,
    /// By which a step enters the account's control group, if the init is not in it.
    entry: Option<GroupEntry>,
}

/// Their places in [`Stepper::accounts`].
const PROGRAM: usize = 0;
const COMPILER: usize = 1;

pub struct Stepper<'a> {
    locks: Locks<'a>,
    accounts: [Account; 2],
    /// That of the step which is taken.
    current: usize,
    /// Whether further programs follow in this jail.
    is_kept: bool,
    env: Vec<CString>,
    /// Of the steps before the program.
    build_env: Vec<CString>,
    /// The file of the plan's program, if that gathers its output.
    gathered: Option<String>,
    signals: OwnedFd,
    oom_score: Option<OomScore>,
    calls: &'a mut Calls,
}

/// A message of the engine while a program runs.
pub enum Received {
    Nothing,
    Stop {
        collect: bool,
    },
    Signal(i32),
    /// The socket is closed, or the engine broke the protocol.
    Closed,
}

pub struct Outcome {
    pub end: StepEnd,
    /// Whether artifacts are wanted; `false` only where the engine stopped the program and wants none.
    pub collect: bool,
}

impl<'a> Stepper<'a> {
    pub fn new(
        plan: &Plan,
        mut locks: Locks<'a>,
        groups: [Option<OpenGroup>; 2],
        shares_user: bool,
        oom_score: Option<OomScore>,
        calls: &'a mut Calls,
    ) -> io::Result<Stepper<'a>> {
        let mut env: Vec<String> = plan.env.clone();
        if is_left_out(Layer::Environment) {
            env.extend(ablation::environment_of_the_host());
        }
        let (env, build_env) = (c_strings(&env)?, c_strings(&plan.build_env)?);
        let gathered = Some(plan.gathered.clone()).filter(|path| !path.is_empty());
        let account = |limits: RunLimits, group: Option<OpenGroup>| {
            let (entry, meter) = group.map(|group| (group.entry, group.meter)).unzip();
            let watchdog = Watchdog::new(&limits, scope(&locks, &limits), meter, shares_user);
            Account { processes: limits.processes, limits, watchdog, entry }
        };
        let [run, compile] = groups;
        let program = Account { entry: None, ..account(plan.limits, run) };
        let accounts = [program, account(plan.compile_limits, compile)];
        if accounts[PROGRAM].watchdog.is_all() {
            locks.add_accounting_filters(!accounts[PROGRAM].watchdog.has_group());
        }
        let signals = sys::child_signal_fd()?;
        let mut stepper = Stepper {
            locks,
            accounts,
            current: PROGRAM,
            is_kept: plan.then == Then::Serve,
            env,
            build_env,
            gathered,
            signals,
            oom_score,
            calls,
        };
        stepper.count_other_processes();
        Ok(stepper)
    }

    /// Processor time of all programs so far, without compilers.
    pub fn cpu_time_us(&mut self) -> u64 {
        self.accounts[PROGRAM].watchdog.cpu_time().as_micros() as u64
    }

    /// Whether no processor time is left for a further program.
    pub fn cpu_is_used_up(&mut self) -> bool {
        self.accounts[PROGRAM].watchdog.cpu_is_used_up()
    }

    /// Sets the environment of the next program. Fails where a pair of `env` holds a NUL byte.
    pub fn prepare(&mut self, env: &[String]) -> io::Result<()> {
        self.env = c_strings(env)?;
        self.count_other_processes();
        Ok(())
    }

    /// Without a user namespace the kernel counts every process of this user.
    fn count_other_processes(&mut self) {
        if self.locks.level != Level::Full {
            let others = proc::tasks_of(sys::effective_uid());
            for account in &mut self.accounts {
                account.limits.processes = account.processes + others;
            }
        }
    }

    pub fn take(
        &mut self,
        step: &Step,
        mut streams: RunStreams<'_>,
        ends: [BorrowedFd<'_>; 2],
        started: impl FnOnce() -> io::Result<()>,
        receive: &mut dyn FnMut() -> Received,
    ) -> Result<Outcome, Trouble> {
        let begin = Instant::now();
        self.current = if step.kind == StepKind::Run { PROGRAM } else { COMPILER };
        let time_before = sys::children_time();
        self.watchdog().begin_step();
        let feed = match &mut streams {
            RunStreams::Own(own) => Feed::replace(&mut own.stdin)
                .map_err(trouble("streams", "make the pipe of standard input"))?,
            RunStreams::Compiler(_) => None,
        };
        let gathered = Gathered::of(&mut self.gathered, &streams);
        let child = self.start(step, streams)?;
        if self.watchdog().is_all() {
            let watchdog = &self.accounts[self.current].watchdog;
            let has_started = || is_stopped(child) || watchdog.processes() != [child];
            await_descriptors(child, STARTING_MAX, || hides_descriptors(child), has_started);
        }
        if started().is_err() {
            self.give_up();
        }
        let (cause, code, collect) = self.wait(child, feed, begin, step.wall_ms, ends, receive);
        self.end_everything(ends[1]);
        if let Some(gathered) = gathered {
            gathered.finish(Path::new(&self.locks.tmp));
        }
        self.make_executable(step);
        let (cause, code) = match (cause, self.watchdog().verdict_at_end()) {
            // The kernel's own kill looks like any other signal until its counter is read.
            (Cause::Exited | Cause::Signaled, Some(limit)) => (limit, libc::SIGKILL),
            (cause, _) => (cause, code),
        };
        let end = StepEnd {
            cause,
            code,
            cpu_time_us: self.watchdog().cpu_time().as_micros() as u64,
            peak_memory_bytes: self.watchdog().peak_memory_bytes(),
            wall_us: begin.elapsed().as_micros() as u64,
        };
        let time = sys::children_time().saturating_sub(time_before);
        self.accounts[1 - self.current].watchdog.leave_out(time);
        Ok(Outcome { end, collect })
    }

    fn watchdog(&mut self) -> &mut Watchdog {
        &mut self.accounts[self.current].watchdog
    }

    /// Returns once the program itself is running.
    fn start(&self, step: &Step, streams: RunStreams<'_>) -> Result<libc::pid_t, Trouble> {
        let broken = |what: &str, error: io::Error| trouble("program", what)(error);
        let argv = c_strings(&step.argv).map_err(|error| broken("read its arguments", error))?;
        let env = if step.kind == StepKind::Run { &self.env } else { &self.build_env };
        let (argv, env) = (sys::Words::of(&argv), sys::Words::of(env));
        if let Some(program) = step.argv.first()
            && entry::is_library(Path::new(&self.locks.tmp), program)
        {
            return Err(broken(program, io::Error::from_raw_os_error(libc::ENOEXEC)));
        }
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
                let mut program = step.argv.first().cloned().unwrap_or_default();
                if error.raw_os_error() == Some(libc::E2BIG) {
                    program
                        .push_str(&format!(" with {} bytes of them", argv.bytes() + env.bytes()));
                }
                let _ = sys::reap(true);
                Err(trouble(stage, &program)(error))
            }
        }
    }

    /// Puts every lock of a program on this process, the new child. It shares the init's memory until it executes the
    /// program, so it must not change anything there.
    fn put_on_everything(&self, streams: &RunStreams<'_>) -> Result<(), Failure> {
        let account = &self.accounts[self.current];
        // First, because it takes the jailer's descriptors and the least rights.
        account.entry.as_ref().map_or(Ok(()), GroupEntry::enter).map_err(|e| ("cgroup", e))?;
        sys::new_session();
        sys::unblock_signals();
        set_streams(streams).map_err(|e| ("streams", e))?;
        if self.locks.level != Level::Full && !is_left_out(Layer::Rlimits) {
            sys::no_core_file().map_err(|e| ("rlimits", e))?;
        }
        if !is_left_out(Layer::Rlimits) {
            set_rlimits(&account.limits, self.is_kept).map_err(|e| ("rlimits", e))?;
        }
        self.locks.put_on()?;
        if is_left_out(Layer::Descriptors) {
            ablation::leave_descriptors_open();
        } else {
            sys::close_all_but(3, &[]);
        }
        Ok(())
    }

    /// Kills every other process of the run and waits until none is left. In a pid namespace the kernel signals
    /// all of them under one lock, so that none escapes by a fork.
    fn end_everything(&mut self, parent_socket: BorrowedFd<'_>) {
        if self.locks.level == Level::Full {
            let _ = sys::kill(-1, libc::SIGKILL);
            while let Ok(reaped) = sys::reap(true) {
                self.watchdog().note_reaped(reaped.map_or(0, |reaped| reaped.peak_bytes));
            }
            if self.is_kept {
                system_v::remove_all();
            }
            return;
        }
        tree::end(
            || self.accounts[self.current].watchdog.members(),
            || {
                sys::drain(self.signals.as_raw_fd());
                let fds = [self.signals.as_raw_fd(), parent_socket.as_raw_fd()];
                if sys::poll_readable(fds, Some(BETWEEN_TRIES))
                    .is_ok_and(|[_, parent_closed]| parent_closed)
                {
                    self.give_up();
                }
            },
        );
    }

    /// Ends the init because the jailer or the engine is gone. In a pid namespace that ends every process of the
    /// run; without one the init cleans up first.
    fn give_up(&self) -> ! {
        if self.locks.level != Level::Full {
            let watchdog = &self.accounts[self.current].watchdog;
            tree::end(|| watchdog.members(), || std::thread::sleep(BETWEEN_TRIES));
            let _ = folder::remove(Path::new(&self.locks.tmp));
        }
        sys::exit_now(1)
    }

    /// Makes compiled programs executable: linkers do it by chmod with a path, which the reduced level refuses.
    fn make_executable(&self, step: &Step) {
        if self.locks.level == Level::Full || step.kind == StepKind::Run {
            return;
        }
        // A compiler may have run the program's own code, which may have put a link there.
        let _ = folder::make_executable(Path::new(&self.locks.tmp), c"build");
    }

    /// Waits until the program ends, a limit is passed, or the engine asks to stop.
    fn wait(
        &mut self,
        child: libc::pid_t,
        mut feed: Option<Feed>,
        begin: Instant,
        wall_ms: u64,
        [control, parent_socket]: [BorrowedFd<'_>; 2],
        receive: &mut dyn FnMut() -> Received,
    ) -> (Cause, i32, bool) {
        let deadline = begin + Duration::from_millis(wall_ms);
        let mut next_check = begin + self.watchdog().interval(Duration::ZERO);
        loop {
            let now = Instant::now();
            if now >= deadline {
                return (Cause::Wall, libc::SIGKILL, true);
            }
            let timeout = deadline.min(next_check).saturating_duration_since(now);
            let [signals, control_fd, parent_fd, calls] = [
                self.signals.as_raw_fd(),
                control.as_raw_fd(),
                parent_socket.as_raw_fd(),
                self.calls.descriptor(),
            ]
            .map(|fd| (fd, sys::READABLE));
            let input = (feed.as_ref().map_or(-1, Feed::descriptor), sys::WRITABLE);
            let fds = [signals, control_fd, parent_fd, calls, input];
            let Ok([child_ended, control_readable, parent_closed, call_waiting, input_taken]) =
                sys::poll(fds, Some(timeout))
            else {
                sys::exit_now(1)
            };
            if parent_closed {
                self.give_up();
            }
            if call_waiting {
                let watchdog = &self.accounts[self.current].watchdog;
                self.calls.answer(|| watchdog.processes());
            }
            if input_taken {
                feed = feed.and_then(Feed::go_on);
            }
            if child_ended {
                sys::drain(self.signals.as_raw_fd());
                if let Some(end) = reap_until(child, self.watchdog()) {
                    return self.cause_of(end);
                }
            }
            if control_readable {
                match receive() {
                    Received::Nothing => {}
                    Received::Stop { collect } => return (Cause::Stopped, libc::SIGKILL, collect),
                    // The program leads a session, so this reaches the processes of its group as well.
                    Received::Signal(signal) => drop(sys::kill(-child, signal)),
                    Received::Closed => self.give_up(),
                }
            }
            // Calls that are handed over, and input, do not make the watchdog check more often.
            if (call_waiting || input_taken) && Instant::now() < next_check {
                continue;
            }
            let check_begun = Instant::now();
            if let Some(limit) = self.watchdog().check() {
                return (limit, libc::SIGKILL, true);
            }
            // Checks take at most half of the time, so that calls are answered in between.
            let pause = self.watchdog().interval(begin.elapsed()).max(check_begun.elapsed());
            next_check = Instant::now() + pause;
        }
    }

    /// Says whether the program ended by itself or by its limit of processor time.
    fn cause_of(&mut self, end: Result<i32, i32>) -> (Cause, i32, bool) {
        match end {
            Ok(code) => (Cause::Exited, code, true),
            Err(libc::SIGXCPU) if self.watchdog().cpu_is_used_up() => {
                (Cause::Cpu, libc::SIGKILL, true)
            }
            Err(signal) => (Cause::Signaled, signal, true),
        }
    }
}

fn c_strings(words: &[String]) -> io::Result<Vec<CString>> {
    words.iter().map(|word| sys::c_string(word)).collect()
}

fn scope(locks: &Locks<'_>, limits: &RunLimits) -> Scope {
    match locks.level {
        Level::Full => Scope::Jail,
        Level::Reduced { .. } => Scope::Tree {
            folder: PathBuf::from(&locks.tmp),
            bytes: limits.work_bytes,
            files: limits.work_files,
            measured: Instant::now(),
        },
    }
}

/// How long the start of a program may take on a busy machine.
const STARTING_MAX: Duration = Duration::from_secs(1);

/// Waits until the kernel shows the descriptors of a program, which the watchdog counts. For a moment it hides them:
/// during `execve` the new memory still has the flag of the init's, which makes it undumpable.
///
/// The program is stopped meanwhile. The stop takes effect after `execve`, and a program that has children is past it
/// too: one whose descriptors are hidden even then hides them on purpose, and is killed.
fn await_descriptors(
    child: libc::pid_t,
    at_most: Duration,
    is_hidden: impl Fn() -> bool,
    has_started: impl Fn() -> bool,
) {
    const BETWEEN: Duration = Duration::from_micros(200);
    if !is_hidden() {
        return;
    }
    let end = Instant::now() + at_most;
    let signal = loop {
        let _ = sys::kill(child, libc::SIGSTOP);
        // In this order: the start may end between the two.
        let is_late = has_started() || Instant::now() >= end;
        if !is_hidden() {
            break libc::SIGCONT;
        }
        if is_late {
            break libc::SIGKILL;
        }
        std::thread::sleep(BETWEEN);
    };
    let _ = sys::kill(child, signal);
}

/// False for a process that has ended.
fn hides_descriptors(pid: libc::pid_t) -> bool {
    ProcessInfo::of(pid).is_some_and(|info| info.descriptors().is_err())
}

fn is_stopped(pid: libc::pid_t) -> bool {
    proc::stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state == "T"))
}

/// Reaps the processes that have ended; returns the end of `child` if it is among them.
fn reap_until(child: libc::pid_t, watchdog: &mut Watchdog) -> Option<Result<i32, i32>> {
    while let Ok(Some(reaped)) = sys::reap(false) {
        watchdog.note_reaped(reaped.peak_bytes);
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

/// The resource limits of each process, soft and hard alike.
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
        // The host's own hard limit may be lower.
        let hard = sys::hard_rlimit(resource).min(value);
        sys::set_rlimit(resource, hard, hard)?;
    }
    // A program may raise it as it does outside: a stack is memory, which is counted as any other.
    let stack = sys::hard_rlimit(Resource::Stack);
    sys::set_rlimit(Resource::Stack, limits.stack_bytes.min(stack), stack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc;

    fn sleeper() -> (Child, libc::pid_t) {
        // Without the test's output: a test that fails leaves it behind.
        let mut command = Command::new("sleep");
        let child = command.arg("60").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id() as libc::pid_t;
        (child, pid)
    }

    #[test]
    fn a_program_is_stopped_until_its_descriptors_are_shown() {
        let (mut child, pid) = sleeper();
        let looks = Cell::new(0);
        let is_hidden = || {
            looks.set(looks.get() + 1);
            // The kernel stops it when it gets to it.
            looks.get() == 1 || !is_stopped(pid)
        };
        await_descriptors(pid, Duration::from_secs(3), is_hidden, || false);
        assert!(looks.get() > 1 && !is_stopped(pid));
        sys::kill(pid, libc::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM), "it went on");
    }

    #[test]
    fn a_program_whose_descriptors_are_shown_is_not_stopped() {
        let (mut child, pid) = sleeper();
        await_descriptors(pid, Duration::ZERO, || false, || unreachable!("it is not stopped"));
        assert!(!is_stopped(pid) && child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_program_that_hides_its_descriptors_is_killed() {
        for (at_most, has_started) in [(Duration::ZERO, false), (Duration::from_secs(60), true)] {
            let (mut child, pid) = sleeper();
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || await_descriptors(pid, at_most, || true, || has_started));
            std::thread::spawn(move || tell.send(child.wait().unwrap().signal()));
            let signal = told.recv_timeout(Duration::from_secs(10)).expect("it is killed");
            assert_eq!(signal, Some(libc::SIGKILL));
        }
    }

    /// An ordinary host has no more of some of these, so that a jail on it would not show that one is missing.
    #[test]
    fn every_limit_of_a_process_is_set() {
        let limits = RunLimits {
            memory_bytes: 1 << 30,
            cpu_time_ms: 1_001,
            processes: 10,
            open_files: 20,
            file_size_bytes: 30,
            stack_bytes: 35,
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
        // The init cannot find a message queue to remove it, so the next program would get it.
        assert!(rlimits(&limits, true).contains(&(Resource::Msgqueue, 0)));
    }
}
