// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine's tests share. Each test file uses some of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::{
    Backend, Error, EventSink, ExecutionResult, Job, Request, Stream, Submission,
};

pub fn engine() -> Engine {
    Engine::new(EngineOptions::default()).expect("an engine can be made")
}

/// Runs one request on an engine of its own.
pub fn execute(request: Request) -> Result<ExecutionResult, Error> {
    execute_on(&engine(), request)
}

pub fn execute_on(engine: &Engine, request: Request) -> Result<ExecutionResult, Error> {
    engine.execute(
        Submission::validated(request).unwrap(),
        Arc::new(unsandbox_protocol::backend::NoSink),
    )
}

/// Runs a bash program that is expected to give a result.
pub fn bash(code: &str) -> ExecutionResult {
    execute(Request::new("bash", code).ttl(20)).expect("bash runs here")
}

pub fn c(code: &str) -> ExecutionResult {
    execute(Request::new("c", code).ttl(20)).expect("a C compiler is here")
}

pub enum Event {
    Accepted,
    Output(Stream, Vec<u8>),
    Started,
    Finished(Box<Result<Job, Error>>),
}

/// A sink that hands every event to a channel.
pub struct Recorder(Sender<Event>);

pub fn recorder() -> (Arc<Recorder>, Receiver<Event>) {
    let (sender, receiver) = channel();
    (Arc::new(Recorder(sender)), receiver)
}

impl EventSink for Recorder {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        use unsandbox_protocol::Event as Told;
        let _ = self.0.send(match event {
            Told::Output { stream, bytes, .. } => Event::Output(stream, bytes.to_vec()),
            Told::Started(_) => Event::Started,
            Told::Accepted(_) => Event::Accepted,
            _ => return,
        });
    }
    fn finished(&self, end: Result<Job, Error>) {
        let _ = self.0.send(Event::Finished(Box::new(end)));
    }
}

/// The next event that `wanted` maps to something, within ten seconds.
pub fn await_event<T>(events: &Receiver<Event>, wanted: impl Fn(Event) -> Option<T>) -> T {
    await_event_within(events, Duration::from_secs(10), wanted)
}

pub fn await_event_within<T>(
    events: &Receiver<Event>,
    limit: Duration,
    wanted: impl Fn(Event) -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let event = events.recv_timeout(rest).expect("the event comes in time");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

pub fn await_output(events: &Receiver<Event>) -> Vec<u8> {
    await_event(events, |event| match event {
        Event::Output(_, bytes) => Some(bytes),
        _ => None,
    })
}

/// Takes output until `words` have come; a program may write them in several parts.
pub fn await_said(events: &Receiver<Event>, words: &str, limit: Duration) {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(words) {
        said.extend(await_event_within(events, limit, |event| match event {
            Event::Output(_, bytes) => Some(bytes),
            _ => None,
        }));
    }
}

pub fn await_end(events: &Receiver<Event>) -> ExecutionResult {
    let job = await_event(events, |event| match event {
        Event::Finished(end) => Some(*end),
        _ => None,
    });
    job.expect("it ends with a job").into_result().expect("a finished job has its result")
}

/// Processes of this machine that are descendants of `ancestor`, seen from outside. A jailer is its host's
/// by what it was started with: its parent has ended at once.
pub fn descendants(ancestor: u32) -> Vec<(u32, String)> {
    let mut all: Vec<(u32, u32, String)> = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((left, right)) = stat.rsplit_once(')') else { continue };
        let name = left.split_once('(').map_or("", |(_, name)| name).to_string();
        let mut fields = right.split_whitespace();
        let state = fields.next().unwrap_or_default();
        let parent: u32 = fields.next().and_then(|field| field.parse().ok()).unwrap_or(0);
        let parent = host_of_jailer(pid, &name, parent).unwrap_or(parent);
        if state != "Z" {
            all.push((pid, parent, name));
        }
    }
    let mut found = vec![(ancestor, String::new())];
    let mut index = 0;
    while index < found.len() {
        let parent = found[index].0;
        let children = all.iter().filter(|(_, of, _)| *of == parent);
        found.extend(children.map(|(pid, _, name)| (*pid, name.clone())));
        index += 1;
    }
    found.remove(0);
    found
}

fn host_of_jailer(pid: u32, name: &str, parent: u32) -> Option<u32> {
    let is_jailer = |name: &str| name == "unsandbox-jail";
    let above = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if !is_jailer(name) || is_jailer(above.trim()) {
        return None;
    }
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    words.split('\0').nth(1)?.parse().ok()
}

/// Waits until `done` says so, within `limit`; false if it never did.
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether one of the programs that this test uses is missing; each that is becomes a named skip.
pub fn lacks(programs: &[&str]) -> bool {
    let is_there = |name: &str| {
        ["/usr/local/bin", "/usr/bin", "/bin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(name).exists())
    };
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !is_there(name)).collect();
    for name in &missing {
        skip(&format!("{name} is not installed"));
    }
    !missing.is_empty()
}

/// Says that the test at hand is not played. Not by `println!`, whose output a passing test keeps to itself.
pub fn skip(why: &str) {
    use std::io::Write as _;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("\nskipped: {test}: {why}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("standard output can be written");
}

/// A copy of this test program where any user may read it.
pub fn readable_copy_of_this_program() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a path");
    let name = own.file_name().expect("a program has a name").to_string_lossy().into_owned();
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let copy = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
    write_program(&copy, &std::fs::read(own).expect("a test can read its program"), 0o755);
    copy
}

/// Writes a file that is started afterwards. Another process writes it: a descriptor of this one would be
/// inherited by whatever another thread starts at that moment, and until that child's exec the kernel refuses
/// to start the file (ETXTBSY).
pub fn write_program(path: &std::path::Path, content: &[u8], mode: u32) {
    use std::io::Write as _;
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod \"$1\" \"$0\""])
        .arg(path)
        .arg(format!("{mode:o}"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut input = writer.stdin.take().expect("it is piped");
    input.write_all(content).expect("the folder is writable");
    drop(input);
    assert!(writer.wait().expect("sh ends").success(), "{} cannot be written", path.display());
}

/// As root: runs this file's other tests again as an ordinary user. As an ordinary user they have
/// just run, so there is nothing more to do.
pub fn again_as_an_ordinary_user(except: &str) {
    use std::os::unix::process::CommandExt;
    if std::fs::metadata("/proc/self")
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0)
    {
        return;
    }
    let copy = readable_copy_of_this_program();
    let mut command = std::process::Command::new(&copy);
    command
        .args(["--skip", except, "--test-threads", "2"])
        .env("HOME", "/nonexistent")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/")
        .uid(65_534)
        .gid(65_534);
    let status = command.status();
    let _ = std::fs::remove_file(&copy);
    assert!(status.expect("the copy starts").success(), "a test fails for an ordinary user");
}

/// The result, or `None` where the language is not installed, which is said.
pub fn if_installed(executed: Result<ExecutionResult, Error>) -> Option<ExecutionResult> {
    match executed {
        Ok(result) => Some(result),
        Err(error) if error.code() == unsandbox_protocol::ErrorCode::LanguageUnavailable => {
            skip(error.message());
            None
        }
        Err(error) => panic!("{error}"),
    }
}
