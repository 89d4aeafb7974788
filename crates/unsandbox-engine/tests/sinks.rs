// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sink may rely on, and what a sink that panics cannot break.

mod common;

use common::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, Event as Told, EventSink, Job, Page, Request, Status,
    Submission,
};

/// Where a sink panics; it still hands its end to a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Accepted,
    Started,
    Output,
    End,
}

struct Panics(At, Mutex<Sender<Result<Job, Error>>>);

impl Panics {
    fn new(at: At) -> (Arc<Panics>, Receiver<Result<Job, Error>>) {
        let (sender, ends) = channel();
        (Arc::new(Panics(at, Mutex::new(sender))), ends)
    }
}

impl EventSink for Panics {
    fn event(&self, event: Told<'_>) {
        let at = match event {
            Told::Accepted(_) => At::Accepted,
            Told::Started(_) => At::Started,
            _ => At::Output,
        };
        assert_ne!(at, self.0, "as the test wants it");
    }

    fn finished(&self, end: Result<Job, Error>) {
        let _ = self.1.lock().unwrap().send(end);
        assert_ne!(At::End, self.0, "as the test wants it");
    }
}

fn echo() -> Submission<'static> {
    Submission::validated(Request::new("bash", "echo on")).unwrap()
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_sink_that_panics_at_the_acceptance_leaves_no_place_taken() {
    let options = EngineOptions { concurrency: 1, queue_max: 0, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    for _ in 0..2 {
        let (sink, ends) = Panics::new(At::Accepted);
        let submitted = catch_unwind(AssertUnwindSafe(|| engine.submit(echo(), sink)));
        assert!(submitted.is_err(), "it is the caller's own panic");
        let error = ends.recv_timeout(SOON).expect("the end comes all the same").unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Internal, false));
        assert!(ends.try_recv().is_err(), "once");
    }
    assert!(engine.list_jobs(&Page::default(), &CallContext::default()).unwrap().jobs.is_empty());
    let result = execute_on(&engine, Request::new("bash", "echo next")).unwrap();
    assert_eq!(result.stdout, b"next\n");
    let began = Instant::now();
    engine.close(Duration::from_secs(60));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_sink_that_panics_later_ends_neither_its_job_nor_the_engine() {
    let engine = engine();
    for at in [At::Started, At::Output, At::End] {
        let (sink, ends) = Panics::new(at);
        engine.submit(echo(), sink);
        let job = ends.recv_timeout(SOON).unwrap_or_else(|_| panic!("no end: {at:?}")).unwrap();
        assert_eq!(job.result.unwrap().stdout, b"on\n", "{at:?}");
    }
    let result = execute_on(&engine, Request::new("bash", "echo next")).unwrap();
    assert_eq!(result.stdout, b"next\n");
}

#[test]
fn a_watcher_that_panics_keeps_the_end_from_nobody() {
    let engine = engine();
    let (own, events) = recorder();
    let job = engine
        .submit_job(Submission::validated(Request::new("bash", "sleep 60")).unwrap(), own)
        .unwrap();
    let (first, _first) = Panics::new(At::End);
    engine.watch(&job.job_id, &CallContext::default(), first).unwrap();
    let (second, ends) = Panics::new(At::Output);
    engine.cancel(&job.job_id, &CallContext::default(), second).unwrap();
    assert_eq!(ends.recv_timeout(SOON).expect("it is told").unwrap().status, Status::Cancelled);
    assert_eq!(await_end(&events).status, Status::Cancelled);
}

/// While it hears of its acceptance, another thread tries to end the job.
struct Overtaken<F> {
    end: Mutex<Option<F>>,
    heard: Mutex<Vec<&'static str>>,
    ended: Mutex<Sender<Result<Job, Error>>>,
}

impl<F: FnOnce() + Send + 'static> EventSink for Overtaken<F> {
    fn event(&self, event: Told<'_>) {
        if let Told::Accepted(_) = event {
            let end = self.end.lock().unwrap().take().expect("it comes once");
            let ending = std::thread::spawn(end);
            // An end that overtakes would be heard of within this time.
            std::thread::sleep(Duration::from_millis(300));
            self.heard.lock().unwrap().push("accepted");
            drop(ending);
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        self.heard.lock().unwrap().push("finished");
        let _ = self.ended.lock().unwrap().send(end);
    }
}

/// Submits a listed job that `end` tries to end while its acceptance is reported.
fn overtake(engine: &Engine, end: impl FnOnce() + Send + 'static) {
    let (sender, ends) = channel();
    let sink = Arc::new(Overtaken {
        end: Mutex::new(Some(end)),
        heard: Mutex::default(),
        ended: Mutex::new(sender),
    });
    engine.submit(Submission { listed: true, ..echo() }, sink.clone());
    let end = ends.recv_timeout(SOON).expect("it ends").unwrap();
    assert_eq!((end.status, end.result.unwrap().stdout.len()), (Status::Cancelled, 0));
    assert_eq!(*sink.heard.lock().unwrap(), ["accepted", "finished"]);
    assert!(ends.try_recv().is_err(), "once");
}

#[test]
fn a_cancel_by_its_id_does_not_overtake_the_acceptance() {
    let engine = Arc::new(engine());
    let other = engine.clone();
    overtake(&engine, move || {
        let context = CallContext::default();
        let jobs = other.list_jobs(&Page::default(), &context).unwrap().jobs;
        assert_eq!((jobs.len(), &jobs[0].status), (1, &Status::Pending));
        other.cancel(&jobs[0].job_id, &context, Arc::new(NoSink)).unwrap();
    });
    assert!(engine.list_jobs(&Page::default(), &CallContext::default()).unwrap().jobs.is_empty());
}

#[test]
fn a_close_does_not_overtake_the_acceptance() {
    let engine = Arc::new(engine());
    let other = engine.clone();
    overtake(&engine, move || other.close(Duration::ZERO));
}

#[test]
fn a_token_that_is_cancelled_already_starts_no_program() {
    let engine = engine();
    for own in [true, false] {
        let submission = echo();
        let token = if own { &submission.cancel } else { &submission.context.cancel };
        token.cancel();
        let (sink, events) = recorder();
        engine.submit(submission, sink);
        let mut started = false;
        let end = loop {
            match events.recv_timeout(SOON).expect("an end") {
                Event::Finished(end) => break end,
                Event::Started => started = true,
                _ => {}
            }
        };
        assert_eq!((started, end.unwrap().status), (false, Status::Cancelled), "{own}");
    }
}

#[test]
fn the_token_of_the_context_ends_an_execution_that_is_not_listed() {
    let engine = engine();
    let submission = Submission::validated(Request::new("bash", "sleep 60")).unwrap();
    let token = submission.context.cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        token.cancel();
    });
    let error = engine.execute(submission, Arc::new(NoSink)).unwrap_err();
    canceller.join().unwrap();
    assert_eq!(error.code(), ErrorCode::Cancelled);
    // The program is gone too: nothing is left to wait for.
    let began = Instant::now();
    engine.close(Duration::from_secs(60));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
