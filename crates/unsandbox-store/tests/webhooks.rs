// SPDX-License-Identifier: MIT OR Apache-2.0
//! Webhooks are kept from the acceptance of their jobs until they are settled, and each end of a job makes its own due.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use support::{Fake, Inner, Place, clock, key, open, owner, stdout, submit_as, wait};
use unsandbox_protocol::outbox::{Room, Settled, Webhook};
use unsandbox_protocol::{Backend, ErrorCode, Owner, Request, Status};
use unsandbox_store::{Retention, StoreOptions, Stored, admin};

const URL: &str = "https://receiver.example/hook?token=1";

fn hooked(code: &str) -> Request {
    Request::new("bash", code).callback_url(URL)
}

fn submit(stored: &Stored, by: &str, code: &str) -> String {
    submit_as(stored, by, hooked(code), None).unwrap().job_id
}

fn room(places: usize) -> Room {
    let lease = Duration::from_secs(60);
    Room { places, each: places, lease, ..Room::default() }
}

fn take(stored: &Stored, room: &Room) -> Vec<Webhook> {
    stored.outbox().unwrap().take(room).unwrap()
}

fn ids(taken: &[Webhook]) -> Vec<&str> {
    taken.iter().map(|webhook| webhook.job_id.as_str()).collect()
}

/// Waits until the process of this store owns the queue.
fn until_taken(stored: &Stored, room: &Room) -> Vec<Webhook> {
    let deadline = Instant::now() + support::TEST_TIMEOUT;
    loop {
        let taken = take(stored, room);
        if !taken.is_empty() {
            return taken;
        }
        assert!(Instant::now() < deadline, "no webhook was ever due");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_webhook_is_due_once_its_job_has_ended_and_until_it_is_settled() {
    let place = Place::new("due");
    let (stored, fake) = open(&place, StoreOptions::default());
    let held = submit(&stored, "a", "hold");
    submit_as(&stored, "a", Request::new("bash", "none"), None).unwrap();
    fake.wait_for_held(1);
    assert_eq!((take(&stored, &room(9)), stored.gauges().webhooks_due), (vec![], Some(0)));
    fake.release_all();
    assert_eq!(wait(&stored, "a", &held).unwrap().status, Status::Completed);
    assert_eq!(stored.gauges().webhooks_due, Some(1));
    let taken = take(&stored, &room(9));
    let expected = Webhook {
        id: taken[0].id,
        owner: Owner("a".into()),
        job_id: held.clone(),
        status: Status::Completed,
        ended_at: stored.get_job(&held, &owner("a")).unwrap().completed_at.unwrap(),
        url: URL.into(),
        attempts: 1,
    };
    assert_eq!(taken, [expected]);
    assert_eq!(take(&stored, &room(9)), [], "it is out");
    let outbox = stored.outbox().unwrap();
    outbox.settle(&taken[0], Settled::Later(Duration::ZERO)).unwrap();
    let again = take(&stored, &room(9));
    assert_eq!(again[0].attempts, 2);
    outbox.settle(&taken[0], Settled::Done).unwrap();
    assert_eq!(stored.gauges().webhooks_due, Some(1), "whose turn is over settles nothing");
    outbox.settle(&again[0], Settled::Done).unwrap();
    assert_eq!(stored.gauges().webhooks_due, Some(0));
}

#[test]
fn every_end_of_a_job_makes_its_webhook_due() {
    let place = Place::new("ends");
    let (stored, fake) = open(&place, StoreOptions::default());
    let mut expected = HashMap::new();
    let done = submit(&stored, "a", "done");
    wait(&stored, "a", &done).unwrap();
    expected.insert(done, Status::Completed);
    let lost = submit(&stored, "a", "hold lost");
    fake.wait_for_held(1);
    expected.insert(lost.clone(), Status::Failed);
    // Behind the held one, whose place is the only one.
    let waiting = submit(&stored, "a", "hold waiting");
    stored.cancel_job(&waiting, &owner("a")).unwrap();
    expected.insert(waiting, Status::Cancelled);
    leave_as_after_a_crash(stored, fake);
    let (stored, _) = open(&place, StoreOptions::default());
    assert_eq!(wait(&stored, "a", &lost).unwrap().status, Status::Failed);
    let taken = take(&stored, &room(9));
    let found: HashMap<_, _> = taken.into_iter().map(|it| (it.job_id, it.status)).collect();
    assert_eq!(found, expected);
}

/// Ends nothing: the jobs stay those of a process that has ended.
fn leave_as_after_a_crash(stored: Stored, fake: Arc<Fake>) {
    std::mem::forget(fake);
    let path = format!("{stored:?}");
    let path = path.split('"').nth(1).unwrap().to_string();
    std::mem::forget(stored);
    // The locks of this process would last as long as it does.
    let directory = std::path::Path::new(&path).parent().unwrap().to_path_buf();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.contains(".process-") || name.ends_with(".queue") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE processes SET pid = 0", []).unwrap();
}

#[test]
fn owners_take_turns_and_none_has_more_out_than_it_may() {
    let place = Place::new("turns");
    let (stored, _) = open(&place, StoreOptions::default());
    for by in ["a", "a", "a", "b", "c", "c"] {
        let id = submit(&stored, by, "done");
        wait(&stored, by, &id).unwrap();
    }
    let lease = Duration::ZERO;
    let owners = |room: Room| -> Vec<String> {
        take(&stored, &Room { lease, ..room }).into_iter().map(|it| it.owner.0).collect()
    };
    let (each, after) = (2, Owner("a".into()));
    assert_eq!(owners(Room { places: 9, each, ..Room::default() }), ["a", "b", "c", "a", "c"]);
    assert_eq!(owners(Room { places: 3, each, after, ..Room::default() }), ["b", "c", "a"]);
    let out = HashMap::from([(Owner("a".into()), 1), (Owner("c".into()), 2)]);
    assert_eq!(owners(Room { places: 9, each, out, ..Room::default() }), ["a", "b"]);
    assert_eq!(owners(Room { places: 0, each, ..Room::default() }), [""; 0]);
}

#[test]
fn a_webhook_outlives_the_retention_of_its_job_and_not_its_deletion() {
    let place = Place::new("outlives");
    let retention = Retention { time: Duration::ZERO, bytes: 1 << 30 };
    let (stored, _) = open(&place, StoreOptions { retention, ..StoreOptions::default() });
    let (deleted, kept) = (submit(&stored, "a", "x"), submit(&stored, "a", "y"));
    for id in [&deleted, &kept] {
        // It may be gone by then.
        let _ = wait(&stored, "a", id);
    }
    stored.delete_job(&deleted, &owner("a")).unwrap();
    let deadline = Instant::now() + support::TEST_TIMEOUT;
    while stored.get_job(&kept, &owner("a")).is_ok() {
        assert!(Instant::now() < deadline, "the job was never removed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ids(&take(&stored, &room(9))), [kept.as_str()]);
}

#[test]
fn a_restart_goes_on_where_the_last_process_was_whatever_the_clock_says() {
    let place = Place::new("restart");
    let now = Arc::new(AtomicI64::new(10_000_000_000));
    let options = || StoreOptions { clock: clock(&now), ..StoreOptions::default() };
    let (stored, _) = open(&place, options());
    let (out, later, due) =
        (submit(&stored, "a", "x"), submit(&stored, "a", "y"), submit(&stored, "a", "z"));
    for id in [&out, &later, &due] {
        wait(&stored, "a", id).unwrap();
    }
    let taken = take(&stored, &room(2));
    assert_eq!(ids(&taken), [out.as_str(), later.as_str()]);
    let hour = Settled::Later(Duration::from_secs(3_600));
    stored.outbox().unwrap().settle(&taken[1], hour).unwrap();
    stored.close(Duration::ZERO);
    drop(stored);
    // A day back: nothing waits longer for it, and nothing comes early.
    now.fetch_sub(86_400_000, Ordering::SeqCst);
    let (stored, _) = open(&place, options());
    assert_eq!(ids(&take(&stored, &room(9))), [due.as_str()]);
    drop(stored);
    // Two days on: the lease and the hour are over.
    now.fetch_add(2 * 86_400_000, Ordering::SeqCst);
    let (stored, _) = open(&place, options());
    let mut found = take(&stored, &room(9));
    found.sort_by_key(|webhook| webhook.id);
    assert_eq!(ids(&found), [out.as_str(), later.as_str(), due.as_str()]);
    assert!(found.iter().all(|webhook| webhook.attempts == 2), "{found:?}");
}

#[test]
fn a_key_with_too_many_webhooks_is_refused_and_others_are_not() {
    let place = Place::new("bound");
    let (stored, _) = open(&place, StoreOptions { webhooks_max: 2, ..StoreOptions::default() });
    let first = submit_as(&stored, "a", hooked("x"), key("k", 1)).unwrap().job_id;
    submit(&stored, "a", "x");
    let refused = submit_as(&stored, "a", hooked("x"), None).unwrap_err();
    assert_eq!((refused.code(), refused.retry_after_ms()), (ErrorCode::RateLimited, Some(5_000)));
    assert!(refused.message().contains("at most 2") && refused.message().contains("callback_url"));
    let again = submit_as(&stored, "a", hooked("x"), key("k", 1)).unwrap().job_id;
    assert_eq!(again, first, "a repetition adds none");
    submit_as(&stored, "a", Request::new("bash", "x"), None).unwrap();
    submit(&stored, "b", "x");
}

#[test]
fn one_process_delivers_and_the_next_one_goes_on() {
    let place = Place::new("two");
    let (first, _) = open(&place, StoreOptions::default());
    let second = Stored::open(Arc::new(Inner::default()), &place.db(), StoreOptions::default());
    let second = second.unwrap();
    let (one, two) = (submit(&first, "a", "x"), submit(&second, "a", "y"));
    for id in [&one, &two] {
        wait(&first, "a", id).unwrap();
    }
    assert_eq!(take(&second, &room(9)), []);
    assert_eq!(ids(&take(&first, &room(1))), [one.as_str()]);
    first.hand_over();
    assert_eq!(take(&first, &room(9)), []);
    assert_eq!(ids(&until_taken(&second, &room(9))), [two.as_str()], "the other one is out still");
}

#[test]
fn a_copy_of_the_store_delivers_nothing() {
    let place = Place::new("copy");
    let (stored, _) = open(&place, StoreOptions::default());
    let id = submit(&stored, "a", "x");
    wait(&stored, "a", &id).unwrap();
    let copy = place.0.join("copy.db");
    admin::backup(&place.db(), &copy).unwrap();
    let copied = Stored::open(Arc::new(Inner::default()), &copy, StoreOptions::default()).unwrap();
    assert_eq!(stdout(&copied.get_job(&id, &owner("a")).unwrap()), "x");
    assert_eq!((take(&copied, &room(9)), take(&stored, &room(9)).len()), (vec![], 1));
}

/// A file as the version before webhooks has left it: one job has ended, one waits.
const BEFORE: &str = r#"
PRAGMA journal_mode = WAL;
INSERT INTO jobs (id, owner, status, language, detected, network_mode, created_at, completed_at, rerun, request_bytes,
    result_bytes, ended_ms)
VALUES ('job_done', 'a', 'completed', 'bash', 0, 'zerotrust', 1, 2, 'never', 1, 1, 9000000000000);
INSERT INTO results (seq, body) VALUES (1, CAST('{"job_id":"job_done","status":"completed","result":{"status":"completed","stdout":"old\n"}}' AS BLOB));
INSERT INTO jobs (id, owner, status, language, detected, network_mode, created_at, rerun, request_bytes)
VALUES ('job_waits', 'a', 'pending', 'bash', 0, 'zerotrust', 1, 'never', 1);
INSERT INTO requests (seq, body) VALUES (2, CAST('{"language":"bash","code":"waited","network_mode":"zerotrust"}' AS BLOB));
PRAGMA application_id = 1970172770;
PRAGMA user_version = 1;
"#;

#[test]
fn a_store_of_the_version_before_keeps_its_jobs_and_gets_webhooks() {
    let place = Place::new("migrate");
    let db = rusqlite::Connection::open(place.db()).unwrap();
    db.execute_batch(include_str!("../src/schema/1.sql")).unwrap();
    db.execute_batch(BEFORE).unwrap();
    let refused = admin::check(&place.db()).unwrap_err();
    assert!(refused.message().contains("it has schema 1"), "{refused}");
    let (stored, _) = open(&place, StoreOptions::default());
    assert_eq!(stdout(&stored.get_job("job_done", &owner("a")).unwrap()), "old\n");
    assert_eq!(stdout(&wait(&stored, "a", "job_waits").unwrap()), "waited");
    let id = submit(&stored, "a", "new");
    wait(&stored, "a", &id).unwrap();
    assert_eq!(ids(&take(&stored, &room(9))), [id.as_str()]);
    // A process of the version before, to which this one was handed over, ends a job by its own statement.
    let held = submit(&stored, "a", "hold");
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2, "an older version refuses it");
    let end = "UPDATE jobs SET status = 'failed', ended_ms = 5 WHERE id = ?1";
    assert_eq!(db.execute(end, [&held]).unwrap(), 1);
    let taken = take(&stored, &room(9));
    assert_eq!((ids(&taken), &taken[0].status), (vec![held.as_str()], &Status::Failed));
    assert!(admin::check(&place.db()).is_ok());
}
