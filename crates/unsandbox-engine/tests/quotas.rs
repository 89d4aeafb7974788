// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the quotas of owners do to the queue: how many programs an owner runs at once, how many may wait, and the places
//! that are kept free for another.

mod common;

use common::*;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::error::CONCURRENCY_LIMIT_REACHED;
use unsandbox_protocol::quota::{Quota, Quotas};
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, Job, Owner, Request, Status, Submission,
};

/// Quotas by the name of the owner.
#[derive(Debug)]
struct Named(Mutex<Vec<(&'static str, Quota)>>);

impl Quotas for Named {
    fn quota(&self, owner: &Owner) -> Quota {
        let quotas = self.0.lock().unwrap();
        let own = quotas.iter().find(|(name, _)| *name == owner.0);
        own.map(|(_, quota)| *quota).unwrap_or_default()
    }

    fn reservations(&self, each: &mut dyn FnMut(&Owner, usize)) {
        for (name, quota) in self.0.lock().unwrap().iter().filter(|(_, quota)| quota.reserved > 0) {
            each(&Owner(name.to_string()), quota.reserved);
        }
    }
}

fn engine_with(concurrency: usize, quotas: &[(&'static str, Quota)]) -> Engine {
    let quotas = Arc::new(Named(Mutex::new(quotas.to_vec())));
    Engine::new(EngineOptions { concurrency, quotas, ..EngineOptions::default() }).unwrap()
}

fn submit(engine: &Engine, owner: &str, code: &str) -> Result<(Job, Receiver<Event>), Error> {
    let (sink, events) = recorder();
    let mut submission = Submission::validated(Request::new("bash", code)).unwrap();
    submission.context = CallContext::of(Owner(owner.to_string()));
    submission.listed = true;
    engine.submit_job(submission, sink).map(|job| (job, events))
}

fn sleeps(engine: &Engine, owner: &str) -> (Job, Receiver<Event>) {
    submit(engine, owner, "echo on; sleep 100").unwrap()
}

fn status(engine: &Engine, owner: &str, job: &Job) -> Status {
    engine.get_job(&job.job_id, &CallContext::of(Owner(owner.to_string()))).unwrap().status
}

#[test]
fn an_owner_runs_as_many_at_once_as_its_quota_says() {
    let quota = Quota { concurrency: Some(1), queue: Some(1), ..Quota::default() };
    let engine = engine_with(3, &[("a", quota)]);
    let (first, running) = sleeps(&engine, "a");
    await_output(&running);
    let (second, waiting) = submit(&engine, "a", "echo second").unwrap();
    let full = submit(&engine, "a", "true").unwrap_err();
    assert_eq!((full.code(), full.wire()), (ErrorCode::RateLimited, CONCURRENCY_LIMIT_REACHED));
    assert!(full.message().starts_with("1 executions wait"), "{full}");
    // Others are not bound by it, and pass those that wait.
    let (_, other) = submit(&engine, "b", "echo other").unwrap();
    assert_eq!(await_end(&other).stdout, b"other\n");
    assert_eq!(status(&engine, "a", &second), Status::Pending);
    let context = CallContext::of(Owner("a".to_string()));
    engine.cancel_job(&first.job_id, &context).unwrap();
    assert_eq!(await_end(&waiting).stdout, b"second\n");
}

#[test]
fn without_a_queue_an_owner_is_refused_while_all_its_programs_run() {
    let quota = Quota { concurrency: Some(1), queue: Some(0), ..Quota::default() };
    let engine = engine_with(3, &[("a", quota)]);
    let (_, running) = sleeps(&engine, "a");
    await_output(&running);
    let full = submit(&engine, "a", "true").unwrap_err();
    assert!(full.message().contains("none of its programs may wait"), "{full}");
    let (_, other) = submit(&engine, "b", "echo other").unwrap();
    assert_eq!(await_end(&other).stdout, b"other\n");
}

#[test]
fn a_reserved_place_is_free_for_its_owner_while_another_floods() {
    let engine = engine_with(2, &[("b", Quota { reserved: 1, ..Quota::default() })]);
    let (_, first) = sleeps(&engine, "a");
    await_output(&first);
    let (second, _waiting) = sleeps(&engine, "a");
    assert_eq!(status(&engine, "a", &second), Status::Pending, "the other place is not for it");
    for _ in 0..3 {
        let (_, mine) = submit(&engine, "b", "echo mine").unwrap();
        assert_eq!(await_end(&mine).stdout, b"mine\n");
    }
    assert_eq!(status(&engine, "a", &second), Status::Pending);
}

#[test]
fn what_waits_starts_when_its_quota_is_raised() {
    let quotas = Arc::new(Named(Mutex::new(vec![(
        "a",
        Quota { concurrency: Some(1), ..Quota::default() },
    )])));
    let options =
        EngineOptions { concurrency: 3, quotas: quotas.clone(), ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let (_, running) = sleeps(&engine, "a");
    await_output(&running);
    let (second, waiting) = submit(&engine, "a", "echo second").unwrap();
    assert_eq!(status(&engine, "a", &second), Status::Pending);
    quotas.0.lock().unwrap().clear();
    engine.quotas_changed();
    assert_eq!(await_end(&waiting).stdout, b"second\n");
}

#[test]
fn an_owner_is_told_what_it_may_have_has_and_has_used() {
    let quota = Quota { concurrency: Some(1), reserved: 1, queue: Some(5), weight: 2 };
    let engine = engine_with(3, &[("a", quota)]);
    let of = |owner: &str| engine.usage(&CallContext::of(Owner(owner.to_string()))).unwrap();
    let (_, ended) = submit(&engine, "a", "exit 3").unwrap();
    await_end(&ended);
    let (first, running) = sleeps(&engine, "a");
    await_output(&running);
    submit(&engine, "a", "true").unwrap();
    let usage = of("a");
    assert_eq!((usage.running, usage.waiting, usage.kept_jobs), (1, 1, 1));
    assert_eq!(usage.runs, [("completed".to_string(), 1)].into());
    assert!(usage.kept_bytes > 0 && usage.wall_time_ms > 0 && usage.since > 1_764_500_000);
    let limits = usage.limits;
    assert_eq!((limits.concurrency, limits.reserved, limits.queue, limits.weight), (1, 1, 5, 2));
    assert_eq!((limits.max_ttl, limits.network_mode.as_str()), (900, "semitrusted"));
    assert_eq!((limits.requests_per_minute, limits.languages), (None, None));
    engine.cancel_job(&first.job_id, &CallContext::of(Owner("a".to_string()))).unwrap();
    assert_eq!(of("a").runs["cancelled"], 1);
    let other = of("b");
    assert_eq!((other.running, other.waiting, other.kept_jobs, other.runs.len()), (0, 0, 0, 0));
    assert_eq!((other.limits.concurrency, other.limits.queue), (3, 1_000));
}
