// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs of a store: kept, run by turns, cancelled, recognised by their keys, removed in time.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use support::{Place, clock, key, open, owner, rerun, stdout, submit, submit_as, wait};
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{Backend, CancelToken, ErrorCode, Page, Request, Status};
use unsandbox_store::{Retention, StoreOptions, admin};

fn places(places: usize) -> StoreOptions {
    StoreOptions { concurrency: places, ..StoreOptions::default() }
}

#[test]
fn a_finished_job_answers_after_a_restart_as_before() {
    let place = Place::new("finished");
    let (stored, _) = open(&place, places(1));
    let job = submit_as(&stored, "a", Request::detect("#!/bin/bash\necho"), None).unwrap();
    assert_eq!((&job.status, job.detected_language.as_deref()), (&Status::Pending, Some("bash")));
    let end = wait(&stored, "a", &job.job_id).unwrap();
    assert_eq!((end.status.clone(), stdout(&end)), (Status::Completed, "#!/bin/bash\necho".into()));
    drop(stored);
    let (stored, fake) = open(&place, places(1));
    let again = stored.get_job(&job.job_id, &owner("a")).unwrap();
    assert_eq!(again, end);
    assert_eq!(wait(&stored, "a", &job.job_id).unwrap(), end);
    for foreign in [stored.get_job(&job.job_id, &owner("b")), wait(&stored, "b", &job.job_id)] {
        assert_eq!(foreign.unwrap_err().code(), ErrorCode::NotFound);
    }
    assert!(
        fake.started().is_empty()
            && stored.list_jobs(&Page::default(), &owner("a")).unwrap().jobs.is_empty()
    );
}

#[test]
fn waiting_jobs_run_after_a_stop_and_those_that_ran_were_told_why_they_ended() {
    let place = Place::new("stop");
    let (stored, fake) = open(&place, places(2));
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    let again = submit_as(&stored, "a", rerun("hold again"), None).unwrap().job_id;
    let waiting = submit(&stored, "a", "waiting").unwrap().job_id;
    fake.wait_for_held(2);
    let listed = stored.list_jobs(&Page::default(), &owner("a")).unwrap().jobs;
    let states: Vec<_> = listed.iter().map(|job| job.status.as_str()).collect();
    assert_eq!(states, ["running", "running", "pending"]);
    stored.close(Duration::ZERO);
    let end = wait(&stored, "a", &held).unwrap();
    assert_eq!(end.status, Status::Cancelled);
    drop(stored);
    let (stored, fake) = open(&place, places(2));
    assert_eq!(stdout(&wait(&stored, "a", &waiting).unwrap()), "waiting");
    fake.wait_for_held(1);
    fake.release_all();
    assert_eq!(wait(&stored, "a", &again).unwrap().status, Status::Completed);
    assert_eq!(stored.get_job(&held, &owner("a")).unwrap(), end);
}

#[test]
fn drained_jobs_end_and_the_next_process_has_the_queue_meanwhile() {
    let place = Place::new("drain");
    let (first, fake) = open(&place, places(1));
    let held = submit(&first, "a", "hold").unwrap().job_id;
    let waiting = submit(&first, "a", "waiting").unwrap().job_id;
    fake.wait_for_held(1);
    let (second, later) = open(&place, places(1));
    let early = submit(&second, "a", "early").unwrap().job_id;
    let now = CancelToken::new();
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| first.drain(&now));
        assert_eq!(stdout(&wait(&second, "a", &waiting).unwrap()), "waiting");
        assert_eq!(stdout(&wait(&second, "a", &early).unwrap()), "early");
        assert_eq!(stdout(&wait(&first, "a", &early).unwrap()), "early");
        assert_eq!(second.get_job(&held, &owner("a")).unwrap().status, Status::Running);
        let refused = submit(&first, "a", "late").unwrap_err();
        assert_eq!((refused.wire(), refused.http_status()), ("stopping", 503));
        assert!(!draining.is_finished());
        fake.release_all();
        draining.join().unwrap();
    });
    assert_eq!(stdout(&wait(&second, "a", &held).unwrap()), "held");
    assert_eq!(later.started(), ["waiting", "early"]);
    drop(first);
    assert_eq!(stdout(&second.get_job(&held, &owner("a")).unwrap()), "held");
}

#[test]
fn a_job_of_another_process_is_cancelled_there() {
    let place = Place::new("elsewhere");
    let (first, fake) = open(&place, places(1));
    let (second, _) = open(&place, places(1));
    let held = submit(&second, "a", "hold").unwrap().job_id;
    let waiting = submit(&second, "a", "waiting").unwrap().job_id;
    fake.wait_for_held(1);
    for job_id in [waiting, held] {
        let waiter = Waiter::new();
        second.cancel(&job_id, &owner("a"), waiter.sink()).unwrap();
        let end = waiter.wait_within(&job_id, &owner("a")).unwrap();
        assert_eq!(end.status, Status::Cancelled, "{end:?}");
    }
    assert_eq!(fake.started(), ["hold"]);
    drop((second, first));
}

#[test]
fn owners_take_turns_and_a_full_queue_is_that_of_one_owner() {
    let place = Place::new("turns");
    let (stored, fake) = open(&place, StoreOptions { queue_max: 3, ..places(1) });
    submit(&stored, "a", "hold").unwrap();
    fake.wait_for_held(1);
    for code in ["a1", "a2", "a3"] {
        submit(&stored, "a", code).unwrap();
    }
    let full = submit(&stored, "a", "a4").unwrap_err();
    assert_eq!((full.code(), full.retry_after_ms()), (ErrorCode::RateLimited, Some(1_000)));
    assert!(full.message().starts_with("3 executions wait"), "{full}");
    let last = submit(&stored, "b", "b1").unwrap().job_id;
    wait(&stored, "b", &last).unwrap();
    fake.release_all();
    assert_eq!(fake.wait_for_started(5)[2..], ["a1", "a2", "a3"]);
    assert_eq!(fake.started()[..2], ["hold", "b1"], "the other owner had a turn of its own");
}

#[test]
fn a_cancelled_job_that_waits_never_runs() {
    let place = Place::new("cancel");
    let (stored, fake) = open(&place, places(1));
    submit(&stored, "a", "hold").unwrap();
    fake.wait_for_held(1);
    let waiting = submit(&stored, "a", "waiting").unwrap().job_id;
    let waiter = Waiter::new();
    stored.cancel(&waiting, &owner("a"), waiter.sink()).unwrap();
    let end = waiter.wait_within(&waiting, &owner("a")).unwrap();
    let result = end.result.clone().unwrap();
    assert_eq!((end.status.clone(), result.exit_code), (Status::Cancelled, Some(-1)));
    assert_eq!(result.error.as_deref(), Some("Job cancelled by user"));
    drop(stored);
    let (stored, later) = open(&place, places(1));
    assert_eq!(stored.get_job(&waiting, &owner("a")).unwrap(), end);
    assert_eq!((fake.started(), later.started()), (vec!["hold".to_string()], vec![]));
}

#[test]
fn a_key_has_one_job_also_after_a_restart_and_when_the_queue_is_full() {
    let place = Place::new("keys");
    let options = || StoreOptions { queue_max: 1, ..places(1) };
    let (stored, fake) = open(&place, options());
    let held = submit_as(&stored, "a", Request::new("bash", "hold"), key("k", 1)).unwrap().job_id;
    fake.wait_for_held(1);
    submit(&stored, "a", "waits").unwrap();
    let full = submit_as(&stored, "a", Request::new("bash", "x"), key("new", 1)).unwrap_err();
    assert_eq!(full.code(), ErrorCode::RateLimited);
    let repeat = |stored: &unsandbox_store::Stored, by: &str, print: u8| {
        submit_as(stored, by, Request::new("bash", "hold"), key("k", print))
    };
    assert_eq!(repeat(&stored, "a", 1).unwrap().job_id, held);
    assert_eq!(repeat(&stored, "a", 2).unwrap_err().code(), ErrorCode::Conflict);
    assert_ne!(repeat(&stored, "b", 2).unwrap().job_id, held);
    drop(stored);
    let (stored, _) = open(&place, options());
    let again = repeat(&stored, "a", 1).unwrap();
    assert_eq!((again.job_id, again.status), (held, Status::Cancelled));
}

#[test]
fn a_key_of_a_store_that_is_gone_or_of_a_generation_with_removed_keys_is_refused() {
    let place = Place::new("generations");
    let ms = Arc::new(AtomicI64::new(1_000_000));
    let options = || StoreOptions {
        retention: Retention { time: Duration::from_secs(60), bytes: 1 << 30 },
        clock: clock(&ms),
        ..places(1)
    };
    let (stored, _) = open(&place, options());
    let name = stored.key_store().unwrap();
    assert!(name.starts_with("store:") && name.len() == 38, "{name}");
    let of = |unique: &str| format!("{name}/{unique}");
    let run = |stored: &unsandbox_store::Stored, the_key: &str, may_be_new: bool| {
        let mut idempotency = key(the_key, 1);
        idempotency.as_mut().unwrap().may_be_new = may_be_new;
        submit_as(stored, "a", Request::new("bash", "x"), idempotency)
    };
    let first = run(&stored, &of("1"), false).unwrap().job_id;
    wait(&stored, "a", &first).unwrap();
    let gone = run(&stored, "process:0a/1", false).unwrap_err();
    assert_eq!((gone.wire(), gone.http_status()), ("idempotency_store_changed", 412));
    let known = run(&stored, "process:0a/2", true).unwrap().job_id;
    wait(&stored, "a", &known).unwrap();
    assert_eq!(run(&stored, "process:0a/2", false).unwrap().job_id, known);
    drop(stored);
    // A day later: the results are removed, and their keys with them.
    ms.fetch_add(86_400_000, Ordering::SeqCst);
    let (stored, fake) = open(&place, options());
    let deadline = std::time::Instant::now() + support::TEST_TIMEOUT;
    // Its name is told a moment after that.
    while stored.get_job(&first, &owner("a")).is_ok() || stored.key_store().unwrap() == name {
        assert!(std::time::Instant::now() < deadline, "the result was never removed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let removed = run(&stored, &of("1"), false).unwrap_err();
    assert_eq!(removed.wire(), "idempotency_store_changed");
    assert!(removed.message().contains(&stored.key_store().unwrap()), "{removed}");
    assert!(fake.started().is_empty());
    let fresh = format!("{}/1", stored.key_store().unwrap());
    run(&stored, &fresh, false).unwrap();
}

#[test]
fn what_the_backend_would_refuse_is_refused_at_once() {
    let place = Place::new("refused");
    let (stored, fake) = open(&place, places(1));
    let error = submit(&stored, "a", "unavailable").unwrap_err();
    assert_eq!(error.code(), ErrorCode::LanguageUnavailable);
    assert!(
        stored.list_jobs(&Page::default(), &owner("a")).unwrap().jobs.is_empty()
            && fake.started().is_empty()
    );
}

#[test]
fn a_job_that_the_full_backend_refuses_waits_again() {
    let place = Place::new("full");
    let (stored, fake) = open(&place, places(1));
    fake.refuses.store(2, Ordering::SeqCst);
    let job = submit(&stored, "a", "patient").unwrap();
    assert_eq!(stdout(&wait(&stored, "a", &job.job_id).unwrap()), "patient");
}

#[test]
fn the_file_is_for_its_user_alone_and_no_other_file_is_taken_for_a_store() {
    let place = Place::new("file");
    let mode = |name: &str| std::fs::metadata(place.0.join(name)).unwrap().permissions().mode();
    std::fs::write(place.db(), "").unwrap();
    std::fs::set_permissions(place.db(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (stored, _) = open(&place, places(1));
    submit(&stored, "a", "x").unwrap();
    for name in ["u.db", "u.db-wal", "u.db-shm", "u.db.queue"] {
        assert_eq!(mode(name) & 0o777, 0o600, "{name}");
    }
    drop(stored);
    let refused = |change: &str| {
        let db = rusqlite::Connection::open(place.db()).unwrap();
        db.execute_batch(change).unwrap();
        drop(db);
        let opened = unsandbox_store::Stored::open(
            Arc::new(support::Inner::default()),
            &place.db(),
            places(1),
        );
        let error = opened.map(|_| ()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        error.to_string()
    };
    let later = refused("PRAGMA user_version = 99");
    assert!(later.contains("schema 99; this one knows up to 2"), "{later}");
    let foreign = refused("PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert!(foreign.contains("another program"), "{foreign}");
    std::fs::write(place.db(), "no database at all, but long enough to be one".repeat(100))
        .unwrap();
    let opened =
        unsandbox_store::Stored::open(Arc::new(support::Inner::default()), &place.db(), places(1));
    assert!(opened.map(|_| ()).unwrap_err().to_string().contains("not a database"));
}

#[test]
fn the_oldest_results_of_the_owner_with_the_most_are_removed() {
    let place = Place::new("room");
    let retention = Retention { time: Duration::from_secs(3_600), bytes: 12_000 };
    let (stored, _) = open(&place, StoreOptions { retention, ..places(1) });
    let small = submit(&stored, "b", "small").unwrap().job_id;
    wait(&stored, "b", &small).unwrap();
    let big: Vec<String> = (0..4)
        .map(|index| {
            let job = submit(&stored, "a", &format!("{index}{}", "x".repeat(3_000))).unwrap();
            wait(&stored, "a", &job.job_id).unwrap().job_id
        })
        .collect();
    let deadline = std::time::Instant::now() + support::TEST_TIMEOUT;
    while stored.get_job(&big[0], &owner("a")).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the oldest was never removed");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(stored.get_job(&small, &owner("b")).is_ok());
    assert!(stored.get_job(&big[3], &owner("a")).is_ok());
}

#[test]
fn a_store_is_checked_exported_copied_and_compacted_while_it_is_used() {
    let place = Place::new("admin");
    let (stored, fake) = open(&place, places(1));
    let done = submit(&stored, "a", &"x".repeat(100_000)).unwrap().job_id;
    wait(&stored, "a", &done).unwrap();
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    let waiting = submit(&stored, "a", "waiting").unwrap().job_id;
    fake.wait_for_held(1);
    let report = admin::check(&place.db()).unwrap();
    assert_eq!((report.waiting, report.running, report.ended), (1, 1, 1), "{report:?}");
    assert!(report.faults.is_empty() && report.result_bytes > 100_000);
    let mut out: Vec<serde_json::Value> = Vec::new();
    let push = |line: &str| -> Result<(), unsandbox_protocol::Error> {
        out.push(serde_json::from_str(line).unwrap());
        Ok(())
    };
    assert_eq!(admin::export(&place.db(), push).unwrap(), 3);
    let ids: Vec<_> = out.iter().map(|line| line["job"]["job_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&done, &held, &waiting]);
    assert_eq!((&out[2]["request"]["code"], &out[2]["owner"]), (&"waiting".into(), &"a".into()));
    let copy = place.0.join("copy.db");
    admin::backup(&place.db(), &copy).unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let copied =
        unsandbox_store::Stored::open(Arc::new(support::Inner::default()), &copy, places(1))
            .unwrap();
    assert_ne!(copied.key_store(), stored.key_store(), "keys of this store are not new ones there");
    let lost = copied.get_job(&held, &owner("a")).unwrap().result.unwrap();
    assert!(lost.error.as_ref().unwrap().contains("may have run"));
    drop(copied);
    assert!(admin::backup(&place.db(), &copy).unwrap_err().to_string().contains("exists"));
    let (before, after) = admin::compact(&place.db()).unwrap();
    assert!(before > 0 && after > 0);
    drop(stored);
    let db = rusqlite::Connection::open(&copy).unwrap();
    db.execute("DELETE FROM results", []).unwrap();
    drop(db);
    assert_eq!(admin::check(&copy).unwrap().faults, ["3 jobs have no result"]);
    let missing = admin::check(&place.0.join("none.db")).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::Config);
}

#[test]
fn the_queue_and_the_disk_are_measured() {
    let place = Place::new("gauges");
    let (stored, fake) = open(&place, StoreOptions { queue_bytes: 1 << 20, ..places(1) });
    // The first job of each owner is handed over, whatever waits.
    for by in ["a", "b", "c", "d"] {
        submit(&stored, by, "hold").unwrap();
    }
    fake.wait_for_held(4);
    let last = submit(&stored, "a", "waits").unwrap().job_id;
    let gauges = stored.gauges();
    let queue = &gauges.queues[0];
    assert_eq!((queue.name, queue.waiting, queue.is_full), ("store", 1, false));
    assert_eq!(queue.waits.count(), 4, "those that are held have left the queue");
    for (by, bytes) in [("a", 700_000), ("b", 250_000), ("c", 70_000), ("d", 18_000)] {
        submit(&stored, by, &"x".repeat(bytes)).unwrap();
    }
    assert!(stored.gauges().queues[0].is_full);
    fake.release_all();
    wait(&stored, "a", &last).unwrap();
    fake.wait_for_started(9);
    let gauges = stored.gauges();
    assert_eq!((gauges.queues[0].waiting, gauges.queues[0].waits.count()), (0, 9));
    let store = gauges.store.unwrap();
    assert!(store.is_writable && store.failures == 0 && store.commits.count() > 4, "{store:?}");
}

#[test]
fn the_usage_of_an_owner_counts_what_waits_and_is_kept_in_the_store() {
    let place = Place::new("usage");
    let (stored, fake) = open(&place, places(1));
    let ended = submit(&stored, "a", "echo").unwrap().job_id;
    wait(&stored, "a", &ended).unwrap();
    submit(&stored, "a", "hold").unwrap();
    fake.wait_for_held(1);
    submit(&stored, "a", "waits").unwrap();
    let usage = stored.usage(&owner("a")).unwrap();
    assert_eq!((usage.waiting, usage.kept_jobs, usage.kept_bytes > 0), (1, 1, true));
    // The store tells its own queue, and of everything else what the backend behind it tells.
    assert_eq!((usage.since, usage.limits.concurrency, usage.limits.queue), (7, 2, 1_000));
    let other = stored.usage(&owner("b")).unwrap();
    assert_eq!((other.waiting, other.kept_jobs, other.kept_bytes), (0, 0, 0));
}

#[test]
fn a_store_that_cannot_be_written_says_so_until_it_can() {
    let place = Place::new("unwritable");
    let (stored, _) = open(&place, places(1));
    let sql = |text: &str| {
        rusqlite::Connection::open(place.db()).unwrap().execute_batch(text).unwrap();
    };
    let before = stored.gauges().store.unwrap();
    sql("ALTER TABLE jobs RENAME TO hidden");
    assert_eq!(submit(&stored, "a", "lost").unwrap_err().code(), ErrorCode::Store);
    let broken = stored.gauges().store.unwrap();
    assert!(!broken.is_writable && broken.failures > before.failures, "{broken:?}");
    sql("ALTER TABLE hidden RENAME TO jobs");
    submit(&stored, "a", "kept").unwrap();
    assert!(stored.gauges().store.unwrap().is_writable);
}
