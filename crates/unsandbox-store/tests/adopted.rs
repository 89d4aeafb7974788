// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a job whose submission another process took is told once, by the process that runs it or finds it lost; and
//! the sink of a submission is told that its run counts elsewhere.

mod support;

use rusqlite::Connection;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::{Fake, Place, TEST_TIMEOUT, key, open, owner, rerun, submit, submit_as, wait};
use unsandbox_protocol::adopted::{AdoptedJob, AdoptedJobs};
use unsandbox_protocol::backend::IdempotencyKey;
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{Backend, Error, Event, EventSink, Job, Request, Submission};
use unsandbox_store::{StoreOptions, Stored};

/// What it was told, in words.
#[derive(Default)]
struct Told {
    words: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Told {
    fn add(&self, words: String) {
        self.words.lock().unwrap().push(words);
        self.changed.notify_all();
    }

    fn now(&self) -> Vec<String> {
        self.words.lock().unwrap().clone()
    }

    fn wait_for(&self, count: usize) -> Vec<String> {
        let fewer = |words: &mut Vec<String>| words.len() < count;
        let words = self.words.lock().unwrap();
        let (words, waited) = self.changed.wait_timeout_while(words, TEST_TIMEOUT, fewer).unwrap();
        assert!(!waited.timed_out(), "{count} were never told: {words:?}");
        words.clone()
    }
}

impl AdoptedJobs for Told {
    fn ended(&self, ended: &AdoptedJob<'_>) {
        let AdoptedJob { owner, request, job, error } = *ended;
        let code = request.map_or("no request", |request| &request.code);
        let error = error.map_or(String::new(), |error| format!(": {:?}", error.code()));
        assert!(job.result.is_some() && job.completed_at.is_some());
        self.add(format!("{} {code} {}{error}", owner.0, job.status));
    }
}

impl EventSink for Told {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Accepted(_) => self.add("accepted".to_string()),
            Event::Repeated => self.add("repeated".to_string()),
            Event::HandedOn => self.add("handed on".to_string()),
            _ => {}
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        self.add(end.unwrap().status.to_string());
    }
}

fn one_at_a_time() -> StoreOptions {
    StoreOptions { concurrency: 1, ..StoreOptions::default() }
}

/// A process that asks for the ends of adopted jobs.
fn open_and_watch(place: &Place) -> (Stored, Arc<Fake>, Arc<Told>) {
    let (stored, fake) = open(place, one_at_a_time());
    let told = Arc::new(Told::default());
    stored.watch_adopted(told.clone());
    (stored, fake, told)
}

/// A job of `a`, and what its sink is told.
fn followed(stored: &Stored, request: Request, idempotency: Option<IdempotencyKey>) -> Arc<Told> {
    let sink = Arc::new(Told::default());
    let submission = Submission {
        listed: true,
        context: owner("a"),
        idempotency,
        ..Submission::validated(request).unwrap()
    };
    stored.submit(submission, sink.clone());
    sink
}

fn sql(place: &Place, text: &str) {
    let db = Connection::open(place.db()).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db.execute_batch(text).unwrap();
}

/// A store in which a job waits whose process has ended.
fn with_a_waiting_job(place: &Place, request: Request) -> String {
    let (stored, fake) = open(place, one_at_a_time());
    submit(&stored, "a", "hold").unwrap();
    fake.wait_for_held(1);
    submit_as(&stored, "a", request, None).unwrap().job_id
}

/// Makes the jobs that wait those of a process that has crashed.
fn crash(place: &Place, attempts: i64) {
    sql(
        place,
        &format!(
            "INSERT INTO processes (id, pid, since) VALUES (7, 0, 0); \
             UPDATE jobs SET status = 'running', process = 7, attempts = {attempts} WHERE status = 'pending'"
        ),
    );
}

#[test]
fn a_job_that_waits_at_a_stop_is_handed_on_and_told_by_the_process_that_runs_it() {
    let place = Place::new("adopted");
    let (stored, fake, own) = open_and_watch(&place);
    let held = followed(&stored, Request::new("bash", "hold"), None);
    fake.wait_for_held(1);
    let waiting = followed(&stored, Request::new("bash", "waiting"), None);
    waiting.wait_for(1);
    stored.close(Duration::ZERO);
    assert_eq!(held.now(), ["accepted", "cancelled"]);
    assert_eq!(waiting.now(), ["accepted", "handed on"]);
    drop(stored);
    let (stored, _, told) = open_and_watch(&place);
    told.wait_for(1);
    let after = followed(&stored, Request::new("bash", "after"), None);
    assert_eq!(after.wait_for(2), ["accepted", "completed"]);
    drop(stored);
    assert_eq!(told.now(), ["a waiting completed"]);
    assert!(own.now().is_empty(), "what a process takes itself is told to its sink");
}

#[test]
fn a_job_that_is_lost_is_told_by_the_process_that_finds_it_lost() {
    for (request, attempts, wanted) in [
        (Request::new("bash", "lost"), 1, "a lost failed"),
        (rerun("again"), 1, "a again completed"),
        (rerun("too often"), 5, "a too often failed"),
    ] {
        let place = Place::new("lost");
        with_a_waiting_job(&place, request);
        crash(&place, attempts);
        let (stored, _, told) = open_and_watch(&place);
        told.wait_for(1);
        drop(stored);
        assert_eq!(told.now(), [wanted]);
    }
}

#[test]
fn a_job_that_another_process_queues_is_told_there_and_its_sink_gets_the_end() {
    let place = Place::new("two");
    let (first, fake, told) = open_and_watch(&place);
    let (second, _, others) = open_and_watch(&place);
    let held = followed(&second, Request::new("bash", "hold"), None);
    fake.wait_for_held(1);
    let waiting = submit(&second, "a", "waiting").unwrap().job_id;
    let waiter = Waiter::new();
    second.cancel(&waiting, &owner("a"), waiter.sink()).unwrap();
    waiter.wait_within(&waiting, &owner("a")).unwrap();
    fake.release_all();
    assert_eq!(held.wait_for(3), ["accepted", "handed on", "completed"]);
    drop((second, first));
    // Two threads tell them.
    let mut told = told.now();
    told.sort();
    assert_eq!(told, ["a hold completed", "a waiting cancelled"]);
    assert!(others.now().is_empty());
}

#[test]
fn a_job_that_a_stop_puts_back_is_handed_on() {
    let place = Place::new("put-back");
    let (stored, fake) = open(&place, one_at_a_time());
    let sink = followed(&stored, rerun("hold again"), None);
    fake.wait_for_held(1);
    drop(stored);
    assert_eq!(sink.now(), ["accepted", "handed on"]);
    let (stored, fake, told) = open_and_watch(&place);
    fake.wait_for_held(1);
    fake.release_all();
    told.wait_for(1);
    drop(stored);
    assert_eq!(told.now(), ["a hold again completed"]);
}

#[test]
fn a_repeated_submission_is_told_that_it_is_one() {
    let place = Place::new("repeated");
    let (stored, fake, told) = open_and_watch(&place);
    let first = followed(&stored, Request::new("bash", "hold"), key("k", 1));
    fake.wait_for_held(1);
    let second = followed(&stored, Request::new("bash", "hold"), key("k", 1));
    second.wait_for(2);
    fake.release_all();
    assert_eq!(first.wait_for(2), ["accepted", "completed"]);
    let repeated = ["accepted", "repeated", "completed"];
    assert_eq!(second.wait_for(3), repeated);
    assert!(told.now().is_empty());
    drop(stored);
    let (stored, fake, told) = open_and_watch(&place);
    assert_eq!(followed(&stored, Request::new("bash", "hold"), key("k", 1)).wait_for(3), repeated);
    drop(stored);
    assert!(told.now().is_empty() && fake.started().is_empty());
}

#[test]
fn an_end_that_the_disk_refuses_at_first_is_told_once_the_disk_has_it() {
    let place = Place::new("refused");
    let job = with_a_waiting_job(&place, Request::new("bash", "waiting"));
    sql(&place, "CREATE TRIGGER t BEFORE INSERT ON results BEGIN SELECT RAISE(FAIL, 'full'); END");
    let (stored, fake, told) = open_and_watch(&place);
    fake.wait_for_started(1);
    wait(&stored, "a", &job).unwrap();
    assert!(told.now().is_empty(), "were this process to end now, the job would be lost");
    sql(&place, "DROP TRIGGER t");
    told.wait_for(1);
    drop(stored);
    assert_eq!(told.now(), ["a waiting completed"]);
}

#[test]
fn an_end_whose_request_cannot_be_read_is_told_without_it() {
    let place = Place::new("unreadable");
    with_a_waiting_job(&place, Request::new("bash", "waiting"));
    sql(&place, "UPDATE requests SET body = CAST('no json' AS BLOB)");
    let (stored, fake, told) = open_and_watch(&place);
    told.wait_for(1);
    drop(stored);
    assert_eq!(told.now(), ["a no request failed: Argument"]);
    assert!(fake.started().is_empty());
}
