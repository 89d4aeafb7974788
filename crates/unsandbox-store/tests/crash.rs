// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that uses the store is killed at random moments, again and again: every job that was acknowledged is
//! answered afterwards, none runs twice without permission, and no key runs anything again. The same with a disk that
//! loses what was not synced, with one that is full at random writes, and with a clock that is set back and forth.

mod support;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Inner, Place, key, owner, submit_as};
use unsandbox_protocol::outbox::Room;
use unsandbox_protocol::{Backend, ErrorCode, Page, Request, Rerun, Status};
use unsandbox_store::{StoreOptions, Stored, WallClock};

/// Kills of each kind.
const KILLS: usize = 200;
/// The process that is killed is this test program itself, with this variable.
const WORKER: &str = "STORE_WORKER";
const CLOCK: &str = "STORE_CLOCK_MS";

/// Which faults the disk and the clock have, beside the kills.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Faults {
    None,
    LostPower,
    FullDisk,
    ClockSetBack,
}

#[test]
fn a_killed_process_loses_no_job_and_runs_none_twice() {
    kill_again_and_again("kill", Faults::None);
}

#[test]
fn a_loss_of_power_loses_no_job_and_runs_none_twice() {
    kill_again_and_again("power", Faults::LostPower);
}

#[test]
fn a_disk_that_is_full_at_random_loses_no_job_and_runs_none_twice() {
    kill_again_and_again("full", Faults::FullDisk);
}

#[test]
fn a_clock_that_is_set_back_loses_no_job_and_runs_none_twice() {
    kill_again_and_again("clock", Faults::ClockSetBack);
}

fn kill_again_and_again(name: &str, faults: Faults) {
    let place = Place::new(name);
    let undo = place.0.join("undo");
    fs::create_dir_all(&undo).unwrap();
    let library = preloaded(&place.0);
    let mut random = Random::new();
    for round in 0..KILLS {
        let offset_ms = if faults == Faults::ClockSetBack { random.below(7_200_000) } else { 0 };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "works_until_it_is_killed", "--nocapture"]);
        command.env(WORKER, &place.0).env("STORE_ROUND", round.to_string());
        command.env(CLOCK, format!("-{offset_ms}"));
        match faults {
            Faults::LostPower => command.env("FAULTS_UNDO", &undo),
            Faults::FullDisk => command.env("FAULTS_FULL", "30"),
            _ => &mut command,
        };
        command.env("FAULTS_DIR", &place.0).env("LD_PRELOAD", &library);
        let out = File::create(place.0.join("worker.log")).unwrap();
        let mut worker = command.stdout(Stdio::null()).stderr(out).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(10 + random.below(70)));
        let ended = worker.try_wait().unwrap();
        let log = || fs::read_to_string(place.0.join("worker.log")).unwrap();
        // A disk that is full from the first write on is a reason to end.
        assert!(ended.is_none() || faults == Faults::FullDisk, "{}", log());
        assert!(!log().contains("panicked"), "{}", log());
        worker.kill().unwrap();
        worker.wait().unwrap();
        if faults == Faults::LostPower {
            lose_what_was_not_synced(&place.0, &undo);
        }
    }
    check(&place);
}

/// Every job that was acknowledged has an end, and ran as often as it may.
fn check(place: &Place) {
    let (acks, before) = (acks(&place.0), runs(&place.0));
    assert!(acks.len() > KILLS, "only {} jobs were acknowledged", acks.len());
    let stored = worker_store(&place.0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !stored.list_jobs(&Page::default(), &owner("a")).unwrap().jobs.is_empty() {
        assert!(Instant::now() < deadline, "jobs never ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = runs(&place.0);
    let (mut lost, mut again) = (0, 0);
    for (label, job_id) in &acks {
        let job = stored.get_job(job_id, &owner("a")).unwrap_or_else(|e| panic!("{label}: {e}"));
        let count = after.get(label).copied().unwrap_or(0);
        let error = job.result.as_ref().and_then(|result| result.error.clone());
        if job.status == Status::Completed {
            assert_eq!(support::stdout(&job), *label);
            assert!(count >= 1, "{label} is completed and never ran");
        } else {
            assert_eq!(job.status, Status::Failed, "{label}");
            assert!(error.unwrap().contains("may have run"), "{label}");
            lost += 1;
        }
        again += usize::from(count > 1);
    }
    for (label, count) in &after {
        let may = if label.starts_with("again") { usize::MAX } else { 1 };
        assert!(*count <= may, "{label} ran {count} times");
    }
    check_webhooks(&stored, &acks);
    assert!(lost > 0 && again > 0, "the kills hit nothing: {lost} lost, {again} run again");
    assert!(before.len() <= after.len());
    for (label, job_id) in acks.iter().take(300) {
        let repeated = submit_as(&stored, "a", request(label), key(label, 7)).unwrap();
        assert_eq!(repeated.job_id, *job_id, "{label}");
    }
    assert_eq!(runs(&place.0), after, "a repeated key ran something");
    assert!(unsandbox_store::admin::check(&place.db()).unwrap().faults.is_empty());
}

fn request(label: &str) -> Request {
    let rerun = if label.starts_with("again") { Rerun::IfLost } else { Rerun::Never };
    Request::new("bash", label).rerun(rerun).callback_url("https://receiver.example/")
}

/// Every job that was acknowledged has a webhook, which says how it ended.
fn check_webhooks(stored: &Stored, acks: &HashMap<String, String>) {
    let lease = Duration::from_secs(3_600);
    let room = Room { places: 1_000, each: 1_000, lease, ..Room::default() };
    let mut told = HashMap::new();
    loop {
        let taken = stored.outbox().unwrap().take(&room).unwrap();
        if taken.is_empty() {
            break;
        }
        told.extend(taken.into_iter().map(|webhook| (webhook.job_id, webhook.status)));
    }
    for (label, job_id) in acks {
        let status = stored.get_job(job_id, &owner("a")).unwrap().status;
        assert_eq!(told.get(job_id), Some(&status), "{label}");
    }
}

/// The process that is killed, where the other tests start it: it submits jobs and runs them, and writes down what it was
/// told and what it ran.
#[test]
fn works_until_it_is_killed() {
    let Some(directory) = std::env::var_os(WORKER).map(PathBuf::from) else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<i64>().unwrap();
    let (round, offset_ms) = (number("STORE_ROUND"), number(CLOCK));
    let stored = worker_store(&directory, offset_ms);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let kind = if number.is_multiple_of(2) { "never" } else { "again" };
                    let label = format!("{kind}-{round}-{number}");
                    match submit_as(&stored, "a", request(&label), key(&label, 7)) {
                        Ok(job) => note(&directory, "acks", &format!("{label} {}", job.job_id)),
                        Err(error) => assert_eq!(error.code(), ErrorCode::Store, "{error}"),
                    }
                }
            });
        }
    });
}

fn worker_store(directory: &Path, offset_ms: i64) -> Stored {
    let inner = Inner::default();
    let ran = directory.to_path_buf();
    let random = std::sync::Mutex::new(Random::new());
    *inner.0.on_run.lock().unwrap() = Some(Box::new(move |submission| {
        note(&ran, "runs", &submission.request.code);
        let pause = random.lock().unwrap().below(3_000);
        std::thread::sleep(Duration::from_micros(pause));
    }));
    let clock = WallClock(Arc::new(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() + offset_ms
    }));
    let most = 1_000_000;
    let options = StoreOptions {
        concurrency: 2,
        queue_max: most,
        webhooks_max: most,
        clock,
        ..StoreOptions::default()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Stored::open(Arc::new(inner.clone()), &directory.join("u.db"), options.clone()) {
            Ok(stored) => return stored,
            // The disk may be full just now.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

fn note(directory: &Path, name: &str, line: &str) {
    let file = OpenOptions::new().append(true).create(true).open(directory.join(name));
    file.unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn lines(directory: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(directory.join(name)).unwrap();
    text.lines().map(str::to_string).collect()
}

fn acks(directory: &Path) -> HashMap<String, String> {
    let lines = lines(directory, "acks");
    lines
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(a, b)| (a.into(), b.into()))
        .collect()
}

fn runs(directory: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for label in lines(directory, "runs") {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// Builds the disk that fails.
fn preloaded(directory: &Path) -> PathBuf {
    let library = directory.join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults.c");
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl");
    assert!(command.status().expect("a C compiler, which SQLite was built with").success());
    library
}

/// Takes back what was written and not synced, the last first.
fn lose_what_was_not_synced(directory: &Path, undo: &Path) {
    for entry in fs::read_dir(undo).unwrap() {
        let entry = entry.unwrap();
        let kept = fs::read(entry.path()).unwrap();
        let mut records = Vec::new();
        let mut rest = &kept[..];
        while rest.len() >= 24 {
            let word = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
            let (offset, size, len) = (word(0), word(8), word(16) as usize);
            // The last one may be incomplete; its write did not happen.
            if rest.len() < 24 + len {
                break;
            }
            records.push((offset, size, &rest[24..24 + len]));
            rest = &rest[24 + len..];
        }
        let target = directory.join(entry.file_name());
        // A log that was taken over whole is removed.
        if let Ok(file) = OpenOptions::new().write(true).open(&target) {
            for (offset, size, old) in records.into_iter().rev() {
                file.write_all_at(old, offset).unwrap();
                file.set_len(size).unwrap();
            }
        }
        fs::remove_file(entry.path()).unwrap();
    }
    // It is memory that the processes share.
    let _ = fs::remove_file(directory.join("u.db-shm"));
}

/// Numbers for pauses; a failed run is not repeated by its seed, since the moments of the kills are not.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Random(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
