// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of the list of jobs: each job that goes on is met once, whatever ends meanwhile.

mod support;

use std::sync::Arc;
use support::{Fake, Place, open, owner, submit, wait};
use unsandbox_protocol::{Backend, Error, ErrorCode, Page};
use unsandbox_store::{StoreOptions, Stored};

fn page(limit: usize, after: Option<&String>) -> Page {
    Page { limit: Some(limit), after: after.cloned() }
}

/// The ids of a page, and whether there are more.
fn listed(stored: &Stored, by: &str, page: &Page) -> Result<(Vec<String>, bool), Error> {
    let listed = stored.list_jobs(page, &owner(by))?;
    Ok((listed.jobs.into_iter().map(|job| job.job_id).collect(), listed.has_more))
}

/// A store with jobs of `a` that run, or wait, and among them one of `b`.
fn with_jobs(place: &Place, count: usize) -> (Stored, Arc<Fake>, Vec<String>) {
    let (stored, fake) = open(place, StoreOptions { concurrency: 2, ..StoreOptions::default() });
    let mut ids: Vec<String> =
        (0..count).map(|_| submit(&stored, "a", "hold").unwrap().job_id).collect();
    submit(&stored, "b", "hold").unwrap();
    ids.push(submit(&stored, "a", "hold").unwrap().job_id);
    (stored, fake, ids)
}

#[test]
fn pages_are_the_list_in_the_order_of_the_submissions() {
    let place = Place::new("pages");
    let (stored, _, ids) = with_jobs(&place, 6);
    let all = listed(&stored, "a", &Page::default()).unwrap();
    assert_eq!(all, (ids.clone(), false));
    for limit in 1..=8 {
        let (mut walked, mut pages) = (Vec::new(), 0);
        loop {
            let (jobs, has_more) = listed(&stored, "a", &page(limit, walked.last())).unwrap();
            assert!(jobs.len() == limit || !has_more, "{jobs:?}");
            walked.extend(jobs);
            pages += 1;
            if !has_more {
                break;
            }
        }
        assert_eq!((&walked, pages), (&ids, ids.len().div_ceil(limit)));
    }
    let rest = Page { limit: None, after: Some(ids[4].clone()) };
    assert_eq!(listed(&stored, "a", &rest).unwrap(), (ids[5..].to_vec(), false));
}

#[test]
fn a_walk_goes_on_behind_a_job_that_has_ended_and_after_a_restart() {
    let place = Place::new("ended");
    let (stored, fake, ids) = with_jobs(&place, 4);
    fake.wait_for_held(3);
    let (first, _) = listed(&stored, "a", &page(2, None)).unwrap();
    assert_eq!(first, ids[..2]);
    // Both end, and two that were behind them run.
    fake.release_all();
    wait(&stored, "a", &ids[1]).unwrap();
    let behind = page(2, Some(&ids[1]));
    assert_eq!(listed(&stored, "a", &behind).unwrap(), (ids[2..4].to_vec(), true));
    drop(stored);
    let (stored, _) = open(&place, StoreOptions { concurrency: 0, ..StoreOptions::default() });
    // Those that ran at the stop have ended.
    let (rest, _) = listed(&stored, "a", &behind).unwrap();
    assert_eq!(rest.last(), ids.last());
}

#[test]
fn only_a_job_of_its_owner_that_is_kept_has_a_place() {
    let place = Place::new("place");
    let (stored, fake, ids) = with_jobs(&place, 2);
    fake.wait_for_held(3);
    let refused = |by: &str, id: &String| listed(&stored, by, &page(1, Some(id))).unwrap_err();
    for error in [refused("b", &ids[0]), refused("a", &"job_none".to_string())] {
        assert_eq!(error.code(), ErrorCode::Argument);
        assert!(error.message().contains("list from the beginning, without after"), "{error}");
    }
    fake.release_all();
    wait(&stored, "a", &ids[0]).unwrap();
    stored.delete_job(&ids[0], &owner("a")).unwrap();
    assert!(refused("a", &ids[0]).message().contains(&ids[0]));
}
