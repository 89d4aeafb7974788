// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an engine leaves behind, in its host and on the machine. One test at a time (see `alone`),
//! since they count what the whole process has.

mod common;

use common::*;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use unsandbox_protocol::{Backend, ErrorCode, Page, Request, Status, Submission};

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
    // One that was dropped in its own callback ends its thread a moment later.
    assert!(within(Duration::from_secs(10), || threads() == 0));
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
    // A jail that takes the place of a used one may not be there yet.
    let before = (open_descriptors(), 3);
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
    engine.submit_job(Submission::validated(Request::new("bash", code)).unwrap(), sink).unwrap();
    await_output(&events);
    drop(engine);
    assert_eq!(await_end(&events).status, Status::Cancelled);
    assert!(within(Duration::from_secs(1), || own_jailers().is_empty()), "{:?}", own_jailers());
}

#[test]
fn finished_jobs_keep_only_their_result() {
    let _alone = alone();
    let engine = engine();
    let (sink, events) = recorder();
    let held = std::sync::Arc::downgrade(&sink);
    let submission =
        Submission { listed: true, ..Submission::validated(Request::new("bash", "true")).unwrap() };
    let context = submission.context.clone();
    let job = engine.submit_job(submission, sink).unwrap();
    assert!(await_end(&events).success);
    assert!(within(Duration::from_secs(10), || held.strong_count() == 0));
    assert_eq!(engine.get_job(&job.job_id, &context).unwrap().status, Status::Completed);
}

#[test]
fn a_jailer_that_is_killed_is_replaced() {
    let _alone = alone();
    let engine = engine();
    let (sink, events) = recorder();
    let request = Request::new("bash", "echo on; sleep 1000");
    engine.submit_job(Submission::validated(request).unwrap(), sink).unwrap();
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
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        if let unsandbox_protocol::Event::Output { .. } = event {
            drop(self.engine.lock().unwrap().take());
        }
    }
    fn finished(&self, end: Result<unsandbox_protocol::Job, unsandbox_protocol::Error>) {
        self.ended.send(end.unwrap().status).unwrap();
    }
}

/// Cancels its job as soon as that is accepted, and asks the engine about it whenever it is asked itself.
struct CallsBack {
    engine: Arc<unsandbox_engine::Engine>,
    ended: std::sync::mpsc::Sender<Status>,
}

impl unsandbox_protocol::EventSink for CallsBack {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        if let unsandbox_protocol::Event::Accepted(job) = event {
            let unheard = Arc::new(unsandbox_protocol::backend::NoSink);
            self.engine.cancel(&job.job_id, &Default::default(), unheard).unwrap();
        }
    }
    fn is_wanted(&self) -> bool {
        self.engine.list_jobs(&Page::default(), &Default::default()).is_ok()
    }
    fn finished(&self, end: Result<unsandbox_protocol::Job, unsandbox_protocol::Error>) {
        self.ended.send(end.unwrap().status).unwrap();
    }
}

#[test]
fn a_sink_may_call_the_engine_and_a_job_cancelled_when_accepted_takes_no_place() {
    let _alone = alone();
    let options = unsandbox_engine::EngineOptions {
        concurrency: 1,
        queue_max: 1,
        ..unsandbox_engine::EngineOptions::default()
    };
    let engine = Arc::new(unsandbox_engine::Engine::new(options).unwrap());
    let (sink, events) = recorder();
    let mut first = Submission::validated(Request::new("bash", "echo on; read")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    first.stdin = Some(Box::new(reader));
    let held = engine.submit_job(first, sink).unwrap();
    await_output(&events);
    let (ended, ends) = std::sync::mpsc::channel();
    let calls_back = || Arc::new(CallsBack { engine: engine.clone(), ended: ended.clone() });
    for _ in 0..3 {
        let second = Submission::validated(Request::new("bash", "true")).unwrap();
        engine.submit(second, calls_back());
        assert_eq!(ends.recv().unwrap(), Status::Cancelled);
    }
    // Each of them is asked whether it is still wanted when the next one comes.
    for _ in 0..3 {
        engine.watch(&held.job_id, &Default::default(), calls_back()).unwrap();
    }
    let last = Submission::validated(Request::new("bash", "echo last")).unwrap();
    let (sink, last_events) = recorder();
    engine.submit_job(last, sink).unwrap();
    drop(writer);
    assert_eq!(await_end(&events).status, Status::Completed);
    assert_eq!(await_end(&last_events).stdout, b"last\n");
    assert_eq!((0..3).filter(|_| ends.recv().unwrap() == Status::Completed).count(), 3);
}

#[test]
fn an_engine_may_be_dropped_in_its_own_callback() {
    let _alone = alone();
    let (ended, ends) = std::sync::mpsc::channel();
    let sink = std::sync::Arc::new(DropsItsEngine { engine: Mutex::new(None), ended });
    let engine = engine();
    // The program waits until the sink holds the engine.
    let mut submission =
        Submission::validated(Request::new("bash", "read; echo on; sleep 1000")).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    submission.stdin = Some(Box::new(reader));
    engine.submit_job(submission, sink.clone()).unwrap();
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

fn submit(engine: &unsandbox_engine::Engine, code: &str) -> std::sync::mpsc::Receiver<Event> {
    let (sink, events) = recorder();
    engine.submit_job(Submission::validated(Request::new("bash", code)).unwrap(), sink).unwrap();
    events
}

fn jailer() -> rustix::process::Pid {
    let all = descendants(std::process::id());
    let found = all.iter().find(|(_, name)| name == "unsandbox-jail").expect("a jailer runs");
    rustix::process::Pid::from_raw(found.0 as i32).unwrap()
}

fn with_concurrency(concurrency: usize) -> unsandbox_engine::Engine {
    let options = unsandbox_engine::EngineOptions { concurrency, ..Default::default() };
    unsandbox_engine::Engine::new(options).unwrap()
}

#[test]
fn what_waits_outlives_its_jailer() {
    let _alone = alone();
    let engine = with_concurrency(1);
    let running = submit(&engine, "echo on; sleep 1000");
    await_output(&running);
    let waiting: Vec<_> = (0..3).map(|n| submit(&engine, &format!("echo {n}"))).collect();
    rustix::process::kill_process(jailer(), rustix::process::Signal::KILL).unwrap();
    for (number, events) in waiting.iter().enumerate() {
        assert_eq!(await_end(events).stdout_text(), format!("{number}\n"));
    }
}

#[test]
fn a_burst_waits_for_a_busy_jailer() {
    use rustix::process::{Signal, kill_process};
    let _alone = alone();
    let engine = with_concurrency(1000);
    execute_on(&engine, Request::new("bash", "true")).unwrap();
    kill_process(jailer(), Signal::STOP).unwrap();
    let all: Vec<_> = (0..400).map(|_| submit(&engine, "true")).collect();
    kill_process(jailer(), Signal::CONT).unwrap();
    for events in &all {
        let end = await_event_within(events, Duration::from_secs(120), |event| match event {
            Event::Finished(end) => Some(*end),
            _ => None,
        });
        assert_eq!(end.expect("none is refused").status, Status::Completed);
    }
}

#[test]
fn two_who_probe_at_once_are_both_answered() {
    let _alone = alone();
    let engine = engine();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..10).for_each(|_| {
                    assert!(engine.probe(&unsandbox_protocol::CallContext::default()).is_ok())
                })
            });
        }
    });
}

/// The folder of version 1 of the memory controller in which this process's jailer makes its groups.
fn own_groups() -> Option<std::path::PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.split_once(":memory:/"))?.1.to_string();
    let name = format!("unsandbox-{}", jailer().as_raw_nonzero());
    Some(std::path::Path::new("/sys/fs/cgroup/memory").join(path).join(name))
        .filter(|folder| folder.is_dir())
}

fn folders_in(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
}

fn idle_inits() -> Vec<u32> {
    let all = descendants(std::process::id()).into_iter();
    all.filter(|(_, name)| name == "unsandbox-init").map(|(pid, _)| pid).collect()
}

#[test]
fn an_idle_jail_that_is_killed_leaves_no_control_group() {
    let _alone = alone();
    let engine = engine();
    execute_on(&engine, Request::new("bash", "true")).unwrap();
    let Some(groups) = own_groups() else {
        return skip("control groups: no version 1 of them is writable here");
    };
    for _ in 0..5 {
        for pid in idle_inits() {
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        execute_on(&engine, Request::new("bash", "true")).unwrap();
    }
    let settled = || folders_in(&groups) == idle_inits().len() && !idle_inits().is_empty();
    assert!(within(Duration::from_secs(20), settled), "{} groups", folders_in(&groups));
}

#[test]
fn a_run_without_its_control_group_is_refused() {
    let _alone = alone();
    let engine = engine();
    execute_on(&engine, Request::new("bash", "true")).unwrap();
    let Some(groups) = own_groups() else {
        return skip("control groups: no version 1 of them is writable here");
    };
    for number in 0..100 {
        let _ = std::fs::create_dir(groups.join(number.to_string()));
    }
    // Another kind of need, for which no jail is ready.
    let mut request = Request::new("bash", "true");
    request.limits.processes = Some(7);
    let error = execute_on(&engine, request).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IsolationUnavailable);
    assert!(error.to_string().contains("cgroup"), "{error}");
}

#[test]
fn a_run_that_does_not_die_takes_no_other_with_it() {
    let _alone = alone();
    // A frozen process does not even hear SIGKILL, in version 1.
    let freezer = std::path::PathBuf::from("/sys/fs/cgroup/freezer")
        .join(format!("unsandbox-test-{}", std::process::id()));
    if std::fs::create_dir(&freezer).is_err() || !freezer.join("freezer.state").exists() {
        return skip("control groups: no freezer of version 1 is writable here");
    }
    let engine = engine();
    let (sink, frozen) = recorder();
    let code = "echo on; sleep 1000";
    let job = engine
        .submit_job(Submission::validated(Request::new("bash", code)).unwrap(), sink)
        .unwrap();
    await_output(&frozen);
    let mut asleep = None;
    let sleeps = || {
        let all = descendants(std::process::id());
        asleep = all.iter().find(|(_, name)| name == "sleep").map(|(pid, _)| *pid);
        asleep.is_some()
    };
    assert!(within(Duration::from_secs(20), sleeps));
    for pid in ancestors_up_to_init(asleep.unwrap()) {
        std::fs::write(freezer.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    std::fs::write(freezer.join("freezer.state"), "FROZEN").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut submission = Submission::validated(Request::new("bash", "read; echo end")).unwrap();
    submission.stdin = Some(Box::new(reader));
    let (sink, other) = recorder();
    engine.submit_job(submission, sink).unwrap();
    let (sink, _events) = recorder();
    engine.cancel(&job.job_id, &Default::default(), sink).unwrap();
    let end = await_event_within(&frozen, Duration::from_secs(60), |event| match event {
        Event::Finished(end) => Some(*end),
        _ => None,
    });
    drop(writer);
    let other = await_end(&other);
    std::fs::write(freezer.join("freezer.state"), "THAWED").unwrap();
    assert_eq!(end.unwrap_err().code(), ErrorCode::Server);
    assert_eq!(other.stdout_text(), "end\n");
    drop(engine);
    assert!(within(Duration::from_secs(20), || std::fs::remove_dir(&freezer).is_ok()));
}

/// A process of a run, and those above it up to the run's init.
fn ancestors_up_to_init(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    loop {
        let status = format!("/proc/{}/status", found[found.len() - 1]);
        let status = std::fs::read_to_string(status).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_string()
        };
        if field("Name:") == "unsandbox-init" {
            return found;
        }
        found.push(field("PPid:").parse().unwrap());
    }
}

#[test]
fn again_unprivileged() {
    let _alone = alone();
    again_as_an_ordinary_user("again_unprivileged");
}
