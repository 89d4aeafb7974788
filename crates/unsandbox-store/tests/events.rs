// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of jobs of a store: of those that wait, run, have ended, and run in another process.

mod support;

use std::sync::mpsc::channel;
use support::{Place, TEST_TIMEOUT, open, owner, submit};
use unsandbox_protocol::feed::{Feed, JobEvent, Next};
use unsandbox_protocol::{Backend, Offsets, Status};
use unsandbox_store::{StoreOptions, Stored};

/// What a feed gives until the end, in short words.
fn events(stored: &Stored, job_id: &str, from: Offsets, meanwhile: impl FnOnce()) -> Vec<String> {
    let (sender, woken) = channel();
    let mut feed = Feed::new(from, move || {
        let _ = sender.send(());
    });
    stored.watch_events(job_id, &owner("a"), from, feed.sink()).unwrap();
    let (mut told, mut meanwhile) = (Vec::new(), Some(meanwhile));
    loop {
        match feed.take() {
            Next::Event(JobEvent::Queued(_)) => told.push("queued".to_string()),
            Next::Event(JobEvent::Started(_)) => told.push("started".to_string()),
            Next::Event(JobEvent::Output { offset, bytes, .. }) => {
                told.push(format!("{offset} {}", String::from_utf8_lossy(&bytes)));
            }
            Next::Event(event) => panic!("{event:?}"),
            Next::End(end) => {
                told.push(end.unwrap().status.to_string());
                return told;
            }
            Next::Behind => panic!("little was written"),
            Next::Nothing => {
                if let Some(meanwhile) = meanwhile.take() {
                    meanwhile();
                }
                woken.recv_timeout(TEST_TIMEOUT).expect("an event");
            }
        }
    }
}

fn one_at_a_time() -> StoreOptions {
    StoreOptions { concurrency: 1, ..StoreOptions::default() }
}

#[test]
fn a_follower_gets_the_whole_of_a_job_whenever_it_comes() {
    let place = Place::new("events");
    let (stored, fake) = open(&place, one_at_a_time());
    let held = submit(&stored, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let waiting = submit(&stored, "a", "later").unwrap().job_id;
    let all = Offsets::default();
    let told = events(&stored, &waiting, all, || fake.release_all());
    assert_eq!(told, ["queued", "started", "0 later", "completed"]);
    let told = events(&stored, &held, Offsets { stdout: 2, stderr: 0 }, || ());
    assert_eq!(told, ["queued", "started", "2 ld", "completed"]);
    drop(stored);
    let (stored, _) = open(&place, one_at_a_time());
    assert_eq!(
        events(&stored, &waiting, all, || ()),
        ["queued", "started", "0 later", "completed"]
    );
}

#[test]
fn the_output_of_a_job_of_another_process_comes_with_its_end() {
    let place = Place::new("events-elsewhere");
    let (first, fake) = open(&place, one_at_a_time());
    let (second, _) = open(&place, one_at_a_time());
    let held = submit(&first, "a", "hold").unwrap().job_id;
    fake.wait_for_held(1);
    let told = events(&second, &held, Offsets::default(), || fake.release_all());
    assert_eq!(told, ["queued", "started", "0 held", "completed"]);
    assert_eq!(first.get_job(&held, &owner("a")).unwrap().status, Status::Completed);
}

#[test]
fn a_cancelled_job_that_never_ran_has_no_start() {
    let place = Place::new("events-cancelled");
    let (stored, fake) = open(&place, one_at_a_time());
    submit(&stored, "a", "hold").unwrap();
    fake.wait_for_held(1);
    let waiting = submit(&stored, "a", "later").unwrap().job_id;
    let cancel = || {
        let sink = unsandbox_protocol::waiter::Waiter::new().sink();
        stored.cancel(&waiting, &owner("a"), sink).unwrap();
    };
    assert_eq!(events(&stored, &waiting, Offsets::default(), cancel), ["queued", "cancelled"]);
}
