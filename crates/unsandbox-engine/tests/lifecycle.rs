// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an engine leaves behind, in its host and on the machine. One test at a time (see `alone`),
//! since they count what the whole process has.

mod common;

use common::*;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use unsandbox_protocol::{Backend, ErrorCode, Request, Status, Submission};

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// The engine's own threads; the test program's come and go.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let names =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("unsandbox")).count()
}

fn own_jailers() -> Vec<(u32, String)> {
    let all = descendants(std::process::id());
    all.into_iter().filter(|(_, name)| name.starts_with("unsandbox-")).collect()
}

#[test]
fn dropping_an_engine_leaves_nothing() {
    let _alone = alone();
    let before = (open_descriptors(), threads(), descendants(std::process::id()).len());
    let engine = engine();
    assert_eq!(
        descendants(std::process::id()).len(),
        before.2,
        "nothing starts before it is needed"
    );
    execute_on(&engine, Request::new("bash", "true")).unwrap();
    assert!(!descendants(std::process::id()).is_empty());
    drop(engine);
    let after = || (open_descriptors(), threads(), descendants(std::process::id()).len());
    assert!(
        within(Duration::from_secs(5), || after() == before),
        "{before:?} became {:?}",
        after()
    );
}

#[test]
fn many_runs_leave_one_jailer_and_its_idle_pool() {
    let _alone = alone();
    let engine = engine();
    execute_on(&engine, Request::new("bash", "true")).unwrap();
    let settled = |engine: &unsandbox_engine::Engine| {
        let _ = engine;
        (open_descriptors(), descendants(std::process::id()).len())
    };
    assert!(within(Duration::from_secs(5), || descendants(std::process::id()).len() == 3));
    let before = settled(&engine);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..12 {
                    let result =
                        execute_on(&engine, Request::new("bash", "(sleep 100 &) ; echo x"));
                    assert_eq!(result.unwrap().stdout, b"x\n");
                }
            });
        }
    });
    assert!(
        within(Duration::from_secs(5), || settled(&engine) == before),
        "{before:?} {:?}",
        settled(&engine)
    );
}

#[test]
fn dropping_an_engine_ends_what_runs() {
    let _alone = alone();
    let engine = engine();
    let (sink, events) = recorder();
    let code = "(setsid sleep 1000 &) ; echo on; sleep 1000";
    engine.submit(Submission::new(Request::new("bash", code)), sink).unwrap();
    await_output(&events);
    drop(engine);
    assert_eq!(await_end(&events).status, Status::Cancelled);
    assert!(within(Duration::from_secs(1), || own_jailers().is_empty()), "{:?}", own_jailers());
}

#[test]
fn a_jailer_that_is_killed_is_replaced() {
    let _alone = alone();
    let engine = engine();
    let (sink, events) = recorder();
    let request = Request::new("bash", "echo on; sleep 1000");
    engine.submit(Submission::new(request), sink).unwrap();
    await_output(&events);
    let children =
        std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
    let all = descendants(std::process::id());
    let jailer = all.first().unwrap_or_else(|| panic!("no jailer: {children:?}")).0;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(jailer as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let end = await_event(&events, |event| match event {
        Event::Finished(end) => Some(*end),
        _ => None,
    });
    assert_eq!(end.unwrap_err().code(), ErrorCode::Server);
    let gone = || descendants(std::process::id()).iter().all(|(pid, _)| *pid != jailer);
    assert!(within(Duration::from_secs(1), gone));
    let result = execute_on(&engine, Request::new("bash", "echo again")).unwrap();
    assert_eq!(result.stdout, b"again\n");
}

/// Drops the engine as soon as its program has written something, on the engine's own thread.
struct DropsItsEngine {
    engine: Mutex<Option<unsandbox_engine::Engine>>,
    ended: std::sync::mpsc::Sender<Status>,
}

impl unsandbox_protocol::EventSink for DropsItsEngine {
    fn output(&self, _: unsandbox_protocol::Stream, _: &[u8]) {
        drop(self.engine.lock().unwrap().take());
    }
    fn finished(&self, end: Result<unsandbox_protocol::Job, unsandbox_protocol::Error>) {
        self.ended.send(end.unwrap().status).unwrap();
    }
}

#[test]
fn an_engine_may_be_dropped_in_its_own_callback() {
    let _alone = alone();
    let (ended, ends) = std::sync::mpsc::channel();
    let sink = std::sync::Arc::new(DropsItsEngine { engine: Mutex::new(None), ended });
    let engine = engine();
    // The program waits until the sink holds the engine.
    let mut submission = Submission::new(Request::new("bash", "read; echo on; sleep 1000"));
    let (reader, mut writer) = std::io::pipe().unwrap();
    submission.stdin = Some(Box::new(reader));
    engine.submit(submission, sink.clone()).unwrap();
    *sink.engine.lock().unwrap() = Some(engine);
    std::io::Write::write_all(&mut writer, b"go\n").unwrap();
    assert_eq!(ends.recv_timeout(Duration::from_secs(5)), Ok(Status::Cancelled));
    assert!(within(Duration::from_secs(1), || own_jailers().is_empty()), "{:?}", own_jailers());
}

#[test]
fn two_engines_do_not_meet() {
    let _alone = alone();
    let (one, two) = (engine(), engine());
    execute_on(&one, Request::new("bash", "true")).unwrap();
    execute_on(&two, Request::new("bash", "true")).unwrap();
    drop(one);
    assert_eq!(execute_on(&two, Request::new("bash", "echo two")).unwrap().stdout, b"two\n");
}

#[test]
fn control_groups_are_removed() {
    let _alone = alone();
    let mine = || {
        let trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"];
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let below = own.lines().filter_map(|line| line.rsplit(':').next());
        let places: Vec<String> =
            below.flat_map(|path| trees.map(|tree| format!("{tree}{path}"))).collect();
        let mut found: Vec<String> = places
            .iter()
            .filter_map(|place| std::fs::read_dir(place).ok())
            .flat_map(|entries| entries.flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with("unsandbox-"))
            .collect();
        found.sort();
        found
    };
    let before = mine();
    let engine = engine();
    for _ in 0..5 {
        execute_on(&engine, Request::new("bash", "true")).unwrap();
    }
    drop(engine);
    let left = || mine().into_iter().filter(|name| !before.contains(name)).count();
    assert!(within(Duration::from_secs(1), || left() == 0), "{} groups are left", left());
}

#[test]
fn again_unprivileged() {
    let _alone = alone();
    again_as_an_ordinary_user("again_unprivileged");
}
