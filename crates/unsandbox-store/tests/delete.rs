// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs that their owner deletes: gone from the disk with everything of theirs, and nobody else's.

mod support;

use std::time::Duration;
use support::{Place, key, open, owner, stdout, submit, submit_as, wait};
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{Backend, ErrorCode, Request, Status};
use unsandbox_store::{Retention, StoreOptions, Stored, admin};

fn places(places: usize) -> StoreOptions {
    StoreOptions { concurrency: places, ..StoreOptions::default() }
}

/// The id of a job that has ended.
fn ended(stored: &Stored, by: &str, code: &str) -> String {
    let job_id = submit(stored, by, code).unwrap().job_id;
    wait(stored, by, &job_id).unwrap();
    job_id
}

/// The code of the refusal.
fn refused(stored: &Stored, by: &str, job_id: &str) -> ErrorCode {
    stored.delete_job(job_id, &owner(by)).unwrap_err().code()
}

#[test]
fn a_deleted_job_is_gone_from_the_disk_and_stays_gone_after_a_restart() {
    let place = Place::new("deleted");
    let (stored, _) = open(&place, places(1));
    let (first, other) = (ended(&stored, "a", "first"), ended(&stored, "a", "other"));
    let foreign = ended(&stored, "b", "foreign");
    let before = admin::check(&place.db()).unwrap();
    stored.delete_job(&first, &owner("a")).unwrap();
    let after = admin::check(&place.db()).unwrap();
    assert_eq!((before.ended, after.ended, after.faults.len()), (3, 2, 0), "{after:?}");
    assert!(after.result_bytes < before.result_bytes, "its room is given back");
    assert_eq!(refused(&stored, "a", &first), ErrorCode::NotFound, "a second time");
    assert_eq!(stored.get_job(&first, &owner("a")).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(wait(&stored, "a", &first).unwrap_err().code(), ErrorCode::NotFound);
    drop(stored);
    let (stored, fake) = open(&place, places(1));
    assert_eq!(stored.get_job(&first, &owner("a")).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(stdout(&stored.get_job(&other, &owner("a")).unwrap()), "other");
    assert_eq!(stdout(&stored.get_job(&foreign, &owner("b")).unwrap()), "foreign");
    assert!(fake.started().is_empty());
    let rows = rusqlite::Connection::open(place.db()).unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        rows.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("jobs"), count("results"), count("requests")), (2, 2, 0));
}

#[test]
fn only_its_owner_deletes_a_job() {
    let place = Place::new("owner");
    let (stored, fake) = open(&place, places(1));
    let done = ended(&stored, "a", "done");
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    for job_id in [&done, &held] {
        assert_eq!(refused(&stored, "b", job_id), ErrorCode::NotFound);
    }
    assert_eq!(refused(&stored, "a", "job_none"), ErrorCode::NotFound);
    assert_eq!(stdout(&stored.get_job(&done, &owner("a")).unwrap()), "done");
    assert_eq!(stored.get_job(&held, &owner("a")).unwrap().status, Status::Running);
}

#[test]
fn a_job_that_waits_or_runs_is_not_deleted_and_goes_on() {
    let place = Place::new("running");
    let (stored, fake) = open(&place, places(1));
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    let waiting = submit(&stored, "a", "waiting").unwrap().job_id;
    fake.wait_for_held(1);
    let (second, _) = open(&place, places(1));
    for process in [&stored, &second] {
        for (job_id, status) in [(&held, "running"), (&waiting, "pending")] {
            let error = process.delete_job(job_id, &owner("a")).unwrap_err();
            assert_eq!(
                (error.code(), error.job_id()),
                (ErrorCode::Conflict, Some(job_id.as_str()))
            );
            let words = format!("job {job_id} is {status}; cancel it first");
            assert!(error.message().starts_with(&words), "{error}");
        }
    }
    fake.release_all();
    assert_eq!(stdout(&wait(&stored, "a", &held).unwrap()), "held");
    assert_eq!(stdout(&wait(&stored, "a", &waiting).unwrap()), "waiting");
    let cancelled = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let waiter = Waiter::new();
    stored.cancel(&cancelled, &owner("a"), waiter.sink()).unwrap();
    waiter.wait_within(&cancelled, &owner("a")).unwrap();
    for job_id in [held, waiting, cancelled] {
        second.delete_job(&job_id, &owner("a")).unwrap();
        assert_eq!(refused(&stored, "a", &job_id), ErrorCode::NotFound);
    }
}

#[test]
fn the_key_of_a_deleted_job_is_new_again() {
    let place = Place::new("key");
    let (stored, fake) = open(&place, places(1));
    let run = |print: u8| submit_as(&stored, "a", Request::new("bash", "x"), key("mine", print));
    let first = run(1).unwrap().job_id;
    wait(&stored, "a", &first).unwrap();
    assert_eq!(run(1).unwrap().job_id, first);
    assert_eq!(run(2).unwrap_err().code(), ErrorCode::Conflict);
    stored.delete_job(&first, &owner("a")).unwrap();
    let second = run(2).unwrap().job_id;
    assert_ne!(second, first);
    wait(&stored, "a", &second).unwrap();
    assert_eq!(fake.started().len(), 2);
}

#[test]
fn a_late_repetition_of_a_deleted_submission_runs_nothing() {
    let place = Place::new("repeated");
    let (stored, fake) = open(&place, places(1));
    let name = stored.key_store().unwrap();
    let of = |name: &str, unique: &str| key(&format!("{name}/{unique}"), 1);
    let run = |by: &str, key| submit_as(&stored, by, Request::new("bash", "x"), key);
    let first = run("a", of(&name, "1")).unwrap().job_id;
    wait(&stored, "a", &first).unwrap();
    stored.delete_job(&first, &owner("a")).unwrap();
    let refused = run("a", of(&name, "1")).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    assert!(refused.message().contains("was deleted"), "{refused}");
    // All other keys are as good as before.
    assert_eq!(stored.key_store().unwrap(), name);
    for (by, key) in [("a", of(&name, "2")), ("b", of(&name, "1"))] {
        wait(&stored, by, &run(by, key).unwrap().job_id).unwrap();
    }
    assert_eq!(fake.started().len(), 3);
    assert_eq!(stored.gauges_of(&owner("a").owner).unwrap().kept_jobs, 1);
    assert_eq!(stored.delete_job(&first, &owner("a")).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn a_deletion_gives_room_to_the_results_of_its_owner() {
    let place = Place::new("share");
    let retention = Retention { time: Duration::from_secs(3_600), bytes: 9_000 };
    let (stored, _) = open(&place, StoreOptions { retention, ..places(1) });
    let code = "x".repeat(3_000);
    let (first, second) = (ended(&stored, "a", &code), ended(&stored, "a", &code));
    stored.delete_job(&first, &owner("a")).unwrap();
    let third = ended(&stored, "a", &code);
    let report = admin::check(&place.db()).unwrap();
    assert_eq!(report.ended, 2, "{report:?}");
    assert!(report.result_bytes < 9_000, "nothing has to be removed: {report:?}");
    for job_id in [second, third] {
        assert!(stored.get_job(&job_id, &owner("a")).is_ok());
    }
}

#[test]
fn a_deletion_that_the_disk_refuses_deletes_nothing() {
    let place = Place::new("refused");
    let (stored, _) = open(&place, places(1));
    let done = ended(&stored, "a", "done");
    let sql = |text: &str| {
        rusqlite::Connection::open(place.db()).unwrap().execute_batch(text).unwrap();
    };
    sql("ALTER TABLE results RENAME TO hidden");
    assert_eq!(refused(&stored, "a", &done), ErrorCode::Store);
    sql("ALTER TABLE hidden RENAME TO results");
    assert_eq!(stdout(&stored.get_job(&done, &owner("a")).unwrap()), "done");
    stored.delete_job(&done, &owner("a")).unwrap();
}
