// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single writes that fail, and a second process that comes and goes: no job is stuck, lost, or answered wrongly.

mod support;

use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::{Inner, Place, TEST_TIMEOUT, open, owner, rerun, stdout, submit, submit_as, wait};
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{Backend, CallContext, Error, ErrorCode, Job, Status};
use unsandbox_store::{Retention, StoreOptions, Stored, admin};

fn at_once(concurrency: usize) -> StoreOptions {
    StoreOptions { concurrency, ..StoreOptions::default() }
}

fn sql(place: &Place, text: &str) {
    let db = Connection::open(place.db()).unwrap();
    db.busy_timeout(Duration::from_secs(5)).unwrap();
    db.execute_batch(text).unwrap();
}

/// Makes one kind of write fail, until [`heal`].
fn break_write(place: &Place, when: &str) {
    sql(place, &format!("CREATE TRIGGER t BEFORE {when} BEGIN SELECT RAISE(FAIL, 'full'); END"));
}

fn heal(place: &Place) {
    sql(place, "DROP TRIGGER t");
}

fn status(stored: &Stored, by: &str, job_id: &str) -> Status {
    stored.get_job(job_id, &owner(by)).unwrap().status
}

/// Waits until the condition holds; nothing tells of it.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn watched(stored: &Stored, by: &str, job_id: &str) -> impl FnOnce() -> Result<Job, Error> {
    let waiter = Waiter::new();
    stored.watch(job_id, &owner(by), waiter.sink()).unwrap();
    let context = CallContext { deadline: Some(TEST_TIMEOUT), ..owner(by) };
    move || waiter.wait_within("", &context)
}

#[test]
fn a_job_whose_cancel_could_not_be_written_never_runs() {
    let place = Place::new("cancel-unsaved");
    let (stored, fake) = open(&place, at_once(1));
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let victim = submit(&stored, "a", "victim").unwrap().job_id;
    break_write(&place, "UPDATE ON jobs WHEN NEW.status = 'cancelled'");
    let waiter = Waiter::new();
    stored.cancel(&victim, &owner("a"), waiter.sink()).unwrap();
    let end = waiter.wait_within(&victim, &owner("a")).unwrap();
    assert_eq!((end.status, status(&stored, "a", &victim)), (Status::Cancelled, Status::Cancelled));
    heal(&place);
    until("the end is on disk", || admin::check(&place.db()).unwrap().ended == 1);
    fake.release_all();
    wait(&stored, "a", &held).unwrap();
    drop(stored);
    let (stored, later) = open(&place, at_once(1));
    assert_eq!(status(&stored, "a", &victim), Status::Cancelled);
    assert_eq!((fake.started(), later.started()), (vec!["hold".to_string()], vec![]));
}

#[test]
fn a_refused_job_whose_requeueing_could_not_be_written_runs_later() {
    let place = Place::new("requeue");
    let (stored, fake) = open(&place, at_once(1));
    fake.refuses.store(1, Ordering::SeqCst);
    break_write(&place, "UPDATE ON jobs WHEN NEW.status = 'pending'");
    let job = submit(&stored, "a", "x").unwrap().job_id;
    until("it was refused", || fake.refuses.load(Ordering::SeqCst) == 0);
    heal(&place);
    assert_eq!(stdout(&wait(&stored, "a", &job).unwrap()), "x");
}

#[test]
fn a_takeover_that_fails_is_tried_again() {
    let place = Place::new("takeover");
    let (first, _) = open(&place, at_once(1));
    let (second, fake) = open(&place, at_once(1));
    // A process that has ended without a word.
    sql(&place, "INSERT INTO processes (id, pid, since) VALUES (7, 0, 0)");
    break_write(&place, "DELETE ON processes");
    drop(first);
    let job = submit(&second, "a", "x").unwrap().job_id;
    std::thread::sleep(Duration::from_millis(500));
    assert!(fake.started().is_empty(), "it would run jobs before it knows which are lost");
    heal(&place);
    assert_eq!(stdout(&wait(&second, "a", &job).unwrap()), "x");
}

#[test]
fn jobs_and_cancels_of_a_process_that_stops_in_order_are_found() {
    for _ in 0..3 {
        let place = Place::new("leave");
        let (first, fake) = open(&place, at_once(1));
        let (second, later) = open(&place, at_once(1));
        let held = submit(&first, "a", "hold").unwrap().job_id;
        fake.wait_for_held(1);
        let left = submit(&second, "a", "left").unwrap().job_id;
        second.cancel(&held, &owner("a"), Waiter::new().sink()).unwrap();
        drop(second);
        assert_eq!(wait(&first, "a", &held).unwrap().status, Status::Cancelled);
        assert_eq!(stdout(&wait(&first, "a", &left).unwrap()), "left");
        assert!(later.started().is_empty());
    }
}

#[test]
fn a_job_that_a_stopping_process_puts_back_runs_in_the_other_and_its_watcher_gets_the_end() {
    for _ in 0..3 {
        let place = Place::new("put-back");
        let (first, fake) = open(&place, at_once(1));
        let (second, later) = open(&place, at_once(1));
        let job = submit_as(&first, "a", rerun("hold"), None).unwrap().job_id;
        fake.wait_for_held(1);
        let end = watched(&second, "a", &job);
        first.close(Duration::from_millis(300));
        drop(first);
        later.wait_for_held(1);
        later.release_all();
        assert_eq!(end().unwrap().status, Status::Completed);
    }
}

#[test]
fn no_ended_job_comes_back_while_another_process_uses_the_store() {
    let place = Place::new("ghosts");
    let options = || StoreOptions { queue_max: 1_000_000, ..at_once(1) };
    drop(open(&place, options()));
    sql(
        &place,
        r#"BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000)
        INSERT INTO jobs (id, owner, status, language, detected, network_mode, created_at, rerun, request_bytes)
        SELECT 'job_f' || i, 'z', 'pending', 'bash', 0, 'zerotrust', 1, 'never', 50 FROM n;
        INSERT INTO requests (seq, body) SELECT seq, CAST('{"language":"bash","code":"q"}' AS BLOB) FROM jobs; COMMIT"#,
    );
    let (stored, _) = open(&place, options());
    let (other, _) = open(&place, options());
    until("300 jobs have ended", || admin::check(&place.db()).unwrap().ended >= 300);
    let db = Connection::open(place.db()).unwrap();
    let mut statement = db.prepare("SELECT id FROM jobs WHERE status = 'completed'").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    for id in ids.collect::<Result<Vec<String>, _>>().unwrap() {
        assert_eq!(status(&stored, "z", &id), Status::Completed);
        assert_eq!(status(&other, "z", &id), Status::Completed);
    }
}

#[test]
fn a_job_whose_request_cannot_be_read_fails_and_delays_nobody() {
    let place = Place::new("unreadable");
    let (stored, fake) = open(&place, at_once(1));
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let broken = submit(&stored, "a", "x").unwrap().job_id;
    let of = format!("(SELECT seq FROM jobs WHERE id = '{broken}')");
    sql(&place, &format!("DELETE FROM requests WHERE seq = {of}"));
    fake.release_all();
    wait(&stored, "a", &held).unwrap();
    let error = wait(&stored, "a", &broken).unwrap_err();
    assert!(error.message().contains("could not be read") && !error.may_have_run(), "{error}");
    assert_eq!(status(&stored, "a", &broken), Status::Failed);
    assert_eq!(fake.started(), ["hold"]);
}

#[test]
fn nothing_is_started_while_results_cannot_be_written_and_reported_ends_stay() {
    let place = Place::new("unsaved");
    let (stored, fake) = open(&place, at_once(2));
    break_write(&place, "INSERT ON results");
    let ids: Vec<_> =
        (0..30).map(|index| submit(&stored, "a", &index.to_string()).unwrap().job_id).collect();
    assert_eq!(stdout(&wait(&stored, "a", &ids[0]).unwrap()), "0");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(status(&stored, "a", &ids[0]), Status::Completed);
    }
    let count = fake.started().len();
    assert!(count < 10, "{count} jobs were run whose results could not be kept");
    heal(&place);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(stdout(&wait(&stored, "a", id).unwrap()), index.to_string());
    }
    until("all ends are on disk", || admin::check(&place.db()).unwrap().ended == 30);
}

#[test]
fn a_full_disk_refuses_new_jobs_and_takes_them_later() {
    let place = Place::new("refused");
    let (stored, fake) = open(&place, at_once(1));
    break_write(&place, "INSERT ON jobs");
    let error = submit(&stored, "a", "x").unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Store, false));
    assert!(
        error.message().contains("could not save a job") && error.retry_after_ms().is_some(),
        "{error}"
    );
    heal(&place);
    submit(&stored, "a", "y").unwrap();
    assert_eq!(fake.wait_for_started(1), ["y"]);
}

#[test]
fn a_process_without_the_queue_keeps_its_limit_too() {
    let place = Place::new("limit");
    let options = || StoreOptions { queue_max: 3, ..at_once(1) };
    let (first, fake) = open(&place, options());
    let (second, _) = open(&place, options());
    submit(&second, "a", "hold").unwrap();
    fake.wait_for_held(1);
    let taken = (0..10).map_while(|_| submit(&second, "a", "waits").ok()).count();
    assert_eq!(taken, 3);
    let full = submit(&second, "a", "waits").unwrap_err();
    assert!(full.message().starts_with("3 executions wait"), "{full}");
    drop((second, first));
}

#[test]
fn a_file_of_another_program_is_left_as_it_was() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("foreign");
    sql(&place, "CREATE TABLE theirs (x)");
    std::fs::set_permissions(place.db(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = std::fs::read(place.db()).unwrap();
    let opened = Stored::open(Arc::new(Inner::default()), &place.db(), at_once(1));
    let error = opened.map(|_| ()).unwrap_err();
    assert!(error.message().contains("another program"), "{error}");
    assert_eq!(std::fs::read(place.db()).unwrap(), before);
    assert_eq!(std::fs::metadata(place.db()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn no_store_is_made_where_others_may_write_and_no_link_is_followed_to_a_lock() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("others");
    let open_at = |place: &Place| {
        Stored::open(Arc::new(Inner::default()), &place.db(), at_once(1)).map(|_| ())
    };
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(open_at(&place).unwrap_err().message().contains("others may write to its directory"));
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(place.0.join("made"), place.0.join("u.db.queue")).unwrap();
    assert_eq!(open_at(&place).unwrap_err().code(), ErrorCode::Store);
    assert!(!place.0.join("made").exists());
}

#[test]
fn a_restored_copy_runs_nothing_that_may_have_run_since() {
    let place = Place::new("restored");
    let (stored, fake) = open(&place, at_once(1));
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let waiting = submit(&stored, "a", "waiting").unwrap().job_id;
    let again = submit_as(&stored, "a", rerun("again"), None).unwrap().job_id;
    let copy = place.0.join("copy.db");
    admin::backup(&place.db(), &copy).unwrap();
    fake.release_all();
    wait(&stored, "a", &held).unwrap();
    let inner = Inner::default();
    let restored = inner.0.clone();
    let stored = Stored::open(Arc::new(inner), &copy, at_once(1)).unwrap();
    assert_eq!(stdout(&wait(&stored, "a", &again).unwrap()), "again");
    assert_eq!(status(&stored, "a", &waiting), Status::Failed);
    assert_eq!(restored.started(), ["again"]);
}

#[test]
fn room_of_removed_results_goes_back_to_the_disk() {
    let place = Place::new("shrink");
    let retention = Retention { time: Duration::from_secs(3_600), bytes: 1 << 20 };
    let (stored, _) = open(&place, StoreOptions { retention, ..at_once(2) });
    let size = || admin::check(&place.db()).unwrap().file_bytes;
    let mut largest = 0;
    for index in 0..20 {
        let job = submit(&stored, "a", &format!("{index}{}", "x".repeat(1 << 20))).unwrap();
        wait(&stored, "a", &job.job_id).unwrap();
        largest = largest.max(size());
    }
    until("the file is smaller", || size() < largest / 2);
}
