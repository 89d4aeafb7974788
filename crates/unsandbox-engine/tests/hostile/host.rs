// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host of the hostile programs: one engine at one level, and what has to hold of it after each
//! program, seen from outside (I1 to I8). It is a subreaper: whatever gets away from a jail becomes its
//! child, and is found.

use crate::canaries::{Canaries, open_descriptors};
use crate::common::{Event, Recorder, descendants, execute_on, recorder, within};
use crate::look;
use crate::table::{Other, Program, how_it_ended};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{
    Backend, EventSink, ExecutionResult, IsolationPolicy, Job, Level, Owner, Request, Submission,
};

/// Past its ttl a run has this long to end (I8).
const SOON: Duration = Duration::from_secs(1);
/// After its end it has this long to be gone (I1, I7): where its tree is a folder of the host, each file is removed by
/// itself, beside whatever else this machine does.
const GONE: Duration = Duration::from_secs(5);
/// So many equal counts, some milliseconds apart, are the baseline.
const SETTLED: usize = 20;
/// Beyond the output that it keeps (I6).
const MEMORY_SLACK: u64 = 8 << 20;
/// What a jailer may hold open: its own few, and two for each jail of its idle pool and its networks.
const JAILER_DESCRIPTORS: usize = 64;
/// Its idle pool: two jails for each of four kinds of need.
const IDLE_JAILS: usize = 8;

pub struct Host {
    level: Level,
    engine: Engine,
    canaries: Canaries,
    temporary: PathBuf,
    jailer: u32,
    jailer_peak: u64,
    descriptors: usize,
    threads: usize,
}

/// How one program went.
pub struct Seen {
    pub ended: String,
    pub took: Duration,
    pub complaints: Vec<String>,
}

impl Host {
    /// An engine that has run something, with `folder` for everything that it and the suite keep.
    pub fn new(level: Level, folder: &Path) -> Host {
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .expect("it is allowed");
        let canaries = Canaries::put(folder);
        let isolation = match level {
            Level::Full => IsolationPolicy::Full,
            Level::Reduced => IsolationPolicy::Reduced,
        };
        let engine = Engine::new(EngineOptions { isolation, ..EngineOptions::default() });
        let engine = engine.expect("an engine can be made");
        let first = execute_on(&engine, Request::new("bash", "true")).expect("this level is here");
        assert_eq!(first.isolation.expect("it is always told").level, level.as_str());
        let own = descendants(std::process::id());
        let jailer = own.iter().find(|(_, name)| name == "unsandbox-jail").expect("it is there").0;
        let mut host = Host {
            level,
            engine,
            canaries,
            temporary: std::env::temp_dir(),
            jailer,
            jailer_peak: 0,
            descriptors: 0,
            threads: 0,
        };
        within(SOON, || host.strangers().is_empty());
        // The engine still closes what the first run had when its end is told.
        let (mut settled, mut same) = ((0, 0), 0);
        within(SOON, || {
            let now = (open_descriptors(), threads());
            same = if now == settled { same + 1 } else { 0 };
            settled = now;
            same >= SETTLED
        });
        (host.descriptors, host.threads) = settled;
        host.jailer_peak = memory(jailer, "VmHWM:");
        host
    }

    /// Runs a program in every round that it asks for. Where only time is short, the machine may be
    /// busy: then it has two more attempts.
    pub fn play(&mut self, program: &Program) -> Seen {
        let mut seen = self.play_once(program);
        for _ in 1..program.rounds {
            if seen.complaints.is_empty() {
                seen = self.play_once(program);
            }
        }
        for _ in 0..2 {
            if !seen.complaints.is_empty() && seen.complaints.iter().all(|one| is_of_time(one)) {
                seen = self.play_once(program);
            }
        }
        seen
    }

    fn play_once(&mut self, program: &Program) -> Seen {
        let before = self.forget_peak();
        let begun = Instant::now();
        let (end, mut wrong) = self.run(program);
        let took = begun.elapsed();
        let Some(result) = end else {
            return Seen { ended: "nothing".to_string(), took, complaints: wrong };
        };
        wrong.extend(program.complaints(self.level, &result));
        wrong.extend(program.next.iter().flat_map(|next| self.play_other("after it", next)));
        if contains(&result.stdout, &self.canaries.secret)
            || contains(&result.stderr, &self.canaries.secret)
            || result.artifacts.iter().any(|one| contains(&one.content, &self.canaries.secret))
        {
            wrong.push("a secret of the host came out".to_string());
        }
        wrong.extend(self.invariants(program, &result, before));
        Seen { ended: how_it_ended(&result), took, complaints: wrong }
    }

    /// The program's result, and whether its end came in time (I8).
    fn run(&self, program: &Program) -> (Option<ExecutionResult>, Vec<String>) {
        let (recorder, events) = recorder();
        let mut submission = Submission::validated(program.request(&self.canaries.told())).unwrap();
        let mut input = None;
        if program.holds() {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            submission.stdin = Some(Box::new(reader));
            input = Some(writer);
        }
        let sink = Arc::new(Quiet { recorder, loud: program.holds() });
        let mut wrong = Vec::new();
        if let Err(error) = self.engine.submit_job(submission, sink) {
            return (None, vec![format!("it was refused: {error}")]);
        }
        let ttl = Duration::from_secs(program.ttl.unsigned_abs());
        let mut started = Instant::now();
        let patience = started + ttl + Duration::from_secs(90);
        loop {
            match next(&events, patience) {
                Some(Event::Accepted) => {}
                Some(Event::Started) => started = Instant::now(),
                Some(Event::Output(..)) => {
                    if let Some(input) = input.take() {
                        if program.looked_at {
                            wrong.extend(look::at_program(self.jailer, self.level, program));
                        }
                        let beside = program.beside.iter();
                        wrong.extend(beside.flat_map(|other| self.play_other("beside it", other)));
                        drop(input);
                    }
                }
                Some(Event::Finished(end)) => {
                    if started.elapsed() > ttl + SOON {
                        wrong.push(format!("I8 it ended {:?} after its start", started.elapsed()));
                    }
                    return match *end {
                        Ok(job) => (job.into_result(), wrong),
                        Err(error) => (None, vec![format!("its job failed: {error}")]),
                    };
                }
                None => return (None, vec!["I8 no end came".to_string()]),
            }
        }
    }

    /// Another owner's runs, and what is wrong with them.
    fn play_other(&self, place: &str, other: &Other) -> Vec<String> {
        let play = |round| {
            let owner = Owner("another".to_string());
            let mut submission = Submission::validated(other.request()).unwrap();
            submission.context.owner = owner;
            let complaint = match self.engine.execute(submission, Arc::new(NoSink)) {
                Ok(result) => other.complaint(self.level, &result),
                Err(error) => Some(format!("it failed: {error}")),
            };
            complaint.map(|complaint| format!("run {round} {place}: {complaint}"))
        };
        (0..other.rounds).filter_map(play).collect()
    }

    fn invariants(
        &mut self,
        program: &Program,
        result: &ExecutionResult,
        before: u64,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if !within(GONE, || self.strangers().is_empty()) {
            wrong.push(format!("I1 alive: {:?}", self.strangers()));
        }
        let kept: u64 = result.artifacts.iter().map(|one| one.content.len() as u64).sum();
        let limit = program.limits().output_bytes.unwrap_or_default() + kept + MEMORY_SLACK;
        let grown = memory(std::process::id(), "VmHWM:").saturating_sub(before);
        if grown > limit {
            wrong.push(format!("I6 the host grew by {grown} bytes"));
        }
        let grown = memory(self.jailer, "VmHWM:").saturating_sub(self.jailer_peak);
        if grown > MEMORY_SLACK {
            wrong.push(format!("I6 the jailer grew by {grown} bytes"));
        }
        wrong.extend(self.next_run());
        if !within(GONE, || (open_descriptors(), threads()) == (self.descriptors, self.threads)) {
            wrong.push(format!("I2 {} descriptors, {} threads", open_descriptors(), threads()));
        }
        if !within(GONE, || self.left().is_empty()) {
            wrong.push(format!("I7 left: {:?}", self.left()));
        }
        wrong.extend(self.canaries.complaints());
        wrong
    }

    /// I5: the next run works, and finds nothing of this one.
    fn next_run(&self) -> Option<String> {
        let code = "echo next; ls -A / /tmp /tmp/input /tmp/home /dev /dev/shm 2>/dev/null | grep hostile-left; \
                    cat /proc/sysvipc/* /proc/keys 2>/dev/null | grep -E ' 4738899 |hostile-left'; true";
        match execute_on(&self.engine, Request::new("bash", code).ttl(30)) {
            Ok(next) if next.stdout == b"next\n" => None,
            Ok(next) => {
                Some(format!("I5 the next run said {:?} {:?}", next.stdout_text(), next.error))
            }
            Err(error) => Some(format!("I5 the next run failed: {error}")),
        }
    }

    /// Descendants that are neither the jailer nor an idle init of its pool.
    fn strangers(&self) -> Vec<(u32, String)> {
        let own = std::process::id();
        let program = fs::read_link(format!("/proc/{}/exe", self.jailer)).ok();
        let mut idle = 0;
        let mut all = descendants(own);
        all.retain(|(pid, name)| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
            // To an ordinary user an init hides its program, as nobody else may see it either.
            let is_jailers = exe.is_none() || exe == program;
            let is_idle = is_jailers && name == "unsandbox-init" && children(*pid).is_empty();
            idle += usize::from(is_idle);
            *pid != self.canaries.bystander()
                && *pid != self.jailer
                && (!is_idle || idle > IDLE_JAILS)
        });
        all
    }

    /// What a run has not taken with it: folders, control groups, the jailer's descriptors.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.temporary).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match fs::read_dir(entry.path()) {
                Ok(below) if name.starts_with(&format!("unsandbox-tree-{}-", self.jailer)) => {
                    left.extend(below.flatten().map(|one| one.path().display().to_string()));
                }
                _ => left.push(name),
            }
        }
        let groups = groups_of(self.jailer);
        let idle = children(self.jailer).len();
        // A jail that compiles has two.
        if groups.len() > 2 * idle {
            left.push(format!("{} control groups for {idle} jails", groups.len()));
        }
        let open = fs::read_dir(format!("/proc/{}/fd", self.jailer)).map_or(0, Iterator::count);
        if open > JAILER_DESCRIPTORS {
            left.push(format!("{open} descriptors of the jailer"));
        }
        left
    }

    /// Starts the measure of the largest size again; the size now.
    fn forget_peak(&self) -> u64 {
        let _ = fs::write("/proc/self/clear_refs", "5");
        memory(std::process::id(), "VmRSS:")
    }

    /// Ends the engine; what stays then is wrong.
    pub fn end(self) -> Vec<String> {
        let Host { engine, canaries, temporary, jailer, .. } = self;
        let bystander = canaries.bystander();
        drop(engine);
        let left = || -> Vec<String> {
            let alive = descendants(std::process::id());
            let alive = alive.into_iter().filter(|(pid, _)| *pid != bystander);
            let files = fs::read_dir(&temporary).into_iter().flatten().flatten();
            let files = files.map(|entry| entry.path().display().to_string());
            let groups = groups_of(jailer).into_iter().map(|path| path.display().to_string());
            alive.map(|(pid, name)| format!("{name} {pid}")).chain(files).chain(groups).collect()
        };
        within(GONE, || left().is_empty());
        let mut wrong: Vec<String> =
            left().iter().map(|what| format!("I7 the engine left {what}")).collect();
        if threads() > 0 {
            wrong.push(format!("I2 {} threads of the engine are left", threads()));
        }
        wrong
    }
}

/// Keeps what a program writes out of this process's memory, unless it is waited for.
struct Quiet {
    recorder: Arc<Recorder>,
    loud: bool,
}

impl EventSink for Quiet {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        let is_output = matches!(event, unsandbox_protocol::Event::Output { .. });
        if self.loud || !is_output {
            self.recorder.event(event);
        }
    }
    fn finished(&self, end: Result<Job, unsandbox_protocol::Error>) {
        self.recorder.finished(end);
    }
}

fn next(events: &Receiver<Event>, patience: Instant) -> Option<Event> {
    events.recv_timeout(patience.saturating_duration_since(Instant::now())).ok()
}

fn is_of_time(complaint: &str) -> bool {
    complaint.starts_with("I8 it ended") || complaint.starts_with("I1 alive")
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// The engine's own threads.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("unsandbox")).count()
}

pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn memory(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Control groups of the runs of a jailer, in one of the trees.
fn groups_of(jailer: u32) -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let paths = own.lines().filter_map(|line| line.rsplit(':').next());
    let name = format!("unsandbox-{jailer}");
    let places = paths.flat_map(|path| {
        let path = path.trim_start_matches('/').to_string();
        let ancestors = Path::new(&path).ancestors().map(Path::to_path_buf).collect::<Vec<_>>();
        ["memory", "unified", ""].into_iter().flat_map(move |tree| {
            let root = Path::new("/sys/fs/cgroup").join(tree);
            ancestors.clone().into_iter().map(move |below| root.join(below))
        })
    });
    let bases: std::collections::BTreeSet<PathBuf> =
        places.map(|place| place.join(&name)).filter(|base| base.is_dir()).collect();
    let below =
        |base: &PathBuf| fs::read_dir(base).into_iter().flatten().flatten().collect::<Vec<_>>();
    let entries = bases.iter().flat_map(below);
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect()
}
