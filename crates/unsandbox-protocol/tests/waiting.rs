// SPDX-License-Identifier: MIT OR Apache-2.0
//! The blocking form that a backend gets from its event form: it comes to an end whatever the backend does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, NoSink};
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{
    Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink, ExecutionResult, Job,
    JobPage, Page, Probe, Request, Status, Submission,
};

/// What a backend does with a sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum With {
    /// Keeps it, as one whose event loop is blocked.
    Keeps,
    /// Drops it without an end.
    Drops,
    /// Reports the acceptance, then drops it.
    AcceptsAndDrops,
    /// Ends it at once, and a second time.
    EndsTwice,
}

#[derive(Debug)]
struct Stub {
    with: With,
    kept: Mutex<Vec<Kept>>,
}

struct Kept(Arc<dyn EventSink>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

fn ended(stdout: &[u8]) -> Job {
    let mut result = ExecutionResult::new(Status::Completed);
    result.stdout = stdout.to_vec();
    Job { result: Some(result.into()), ..Job::new("job-1", Status::Completed) }
}

impl Stub {
    fn new(with: With) -> Stub {
        Stub { with, kept: Mutex::default() }
    }

    fn take(&self, sink: Arc<dyn EventSink>) {
        match self.with {
            With::Keeps => self.kept.lock().unwrap().push(Kept(sink)),
            With::Drops => {}
            With::AcceptsAndDrops => {
                sink.event(Event::Accepted(&Job::new("job-1", Status::Pending)))
            }
            With::EndsTwice => {
                sink.finished(Ok(ended(b"first")));
                sink.finished(Ok(ended(b"second")));
            }
        }
    }

    /// Whether anyone listens to the sink that came last.
    fn is_wanted(&self) -> bool {
        self.kept.lock().unwrap().last().expect("one was kept").0.is_wanted()
    }
}

impl Backend for Stub {
    fn submit(&self, _: Submission<'static>, sink: Arc<dyn EventSink>) {
        self.take(sink);
    }

    fn watch(&self, _: &str, _: &CallContext, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        self.take(sink);
        Ok(())
    }

    fn cancel(&self, _: &str, _: &CallContext, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        self.take(sink);
        Ok(())
    }

    fn get_job(&self, id: &str, _: &CallContext) -> Result<Job, Error> {
        Ok(Job::new(id, Status::Running))
    }

    fn delete_job(&self, _: &str, _: &CallContext) -> Result<(), Error> {
        Ok(())
    }

    fn list_jobs(&self, _: &Page, _: &CallContext) -> Result<JobPage, Error> {
        Ok(JobPage::default())
    }

    fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        Ok(Vec::new())
    }

    fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> {
        Ok(KeyInfo { valid: true, tier: None, reason: None, raw: None })
    }

    fn health(&self, _: &CallContext) -> Result<Health, Error> {
        Ok(Health { healthy: true, status: "ok".to_string(), raw: None })
    }

    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        Ok(Probe { level: None, layers: Vec::new() })
    }

    fn close(&self, _: Duration) {}
}

fn submission() -> Submission<'static> {
    Submission::validated(Request::new("bash", "true")).unwrap()
}

fn within(deadline: Duration) -> CallContext {
    CallContext { deadline: Some(deadline), ..CallContext::default() }
}

const SHORT: Duration = Duration::from_millis(20);
/// How late an end by the deadline or the token may come.
const LATE: Duration = Duration::from_secs(3);

#[test]
fn an_execution_leaves_a_backend_that_is_silent_at_its_deadline() {
    let stub = Stub::new(With::Keeps);
    let begun = Instant::now();
    let submission = Submission { context: within(SHORT), ..submission() };
    let error = stub.execute(submission, Arc::new(NoSink)).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
    assert!(begun.elapsed() < LATE, "{:?}", begun.elapsed());
    assert!(!stub.is_wanted(), "nobody waits any more");
}

#[test]
fn an_execution_leaves_a_backend_that_is_silent_when_it_is_cancelled() {
    for of_the_context in [false, true] {
        let stub = Stub::new(With::Keeps);
        let token = CancelToken::new();
        let mut submission = submission();
        match of_the_context {
            true => submission.context.cancel = token.clone(),
            false => submission.cancel = token.clone(),
        }
        let begun = Instant::now();
        std::thread::spawn(move || {
            std::thread::sleep(SHORT);
            token.cancel();
        });
        let error = stub.execute(submission, Arc::new(NoSink)).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Cancelled, true));
        assert!(begun.elapsed() < LATE, "{:?}", begun.elapsed());
        assert!(!stub.is_wanted());
    }
}

#[test]
fn a_backend_has_a_moment_to_report_the_end_itself() {
    let stub = Arc::new(Stub::new(With::Keeps));
    let (caller, submission) =
        (stub.clone(), Submission { context: within(SHORT), ..submission() });
    let call = std::thread::spawn(move || caller.execute(submission, Arc::new(NoSink)));
    std::thread::sleep(2 * SHORT);
    let kept = stub.kept.lock().unwrap().pop().expect("it was submitted").0;
    assert!(kept.is_wanted());
    kept.finished(Ok(ended(b"late")));
    assert_eq!(call.join().unwrap().unwrap().stdout, b"late");
}

/// Hands its end to a channel.
struct Ends(Mutex<Sender<Result<Job, Error>>>);

impl Ends {
    fn new() -> (Arc<Ends>, Receiver<Result<Job, Error>>) {
        let (sender, ends) = channel();
        (Arc::new(Ends(Mutex::new(sender))), ends)
    }
}

impl EventSink for Ends {
    fn finished(&self, end: Result<Job, Error>) {
        let _ = self.0.lock().unwrap().send(end);
    }
}

#[track_caller]
fn assert_lost<T: std::fmt::Debug>(end: Result<T, Error>) {
    let error = end.unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Internal, true), "{error}");
    assert!(error.message().contains("dropped the run without a result"), "{error}");
}

#[test]
fn a_sink_that_is_dropped_without_an_end_is_an_error_of_its_call() {
    let context = CallContext::default();
    for with in [With::Drops, With::AcceptsAndDrops] {
        let stub = Stub::new(with);
        assert_lost(stub.execute(submission(), Arc::new(NoSink)));
        assert_lost(stub.wait_job("job-1", &context));
        assert_lost(stub.cancel_job("job-1", &context));
    }
    let (sink, ends) = Ends::new();
    assert_lost(Stub::new(With::Drops).submit_job(submission(), sink));
    assert_lost(ends.try_recv().expect("the sink is told too"));
    let (sink, ends) = Ends::new();
    let job = Stub::new(With::AcceptsAndDrops).submit_job(submission(), sink).unwrap();
    assert_eq!(job.job_id, "job-1");
    assert_lost(ends.try_recv().expect("the sink is told too"));
}

#[test]
fn only_the_first_end_counts() {
    let stub = Stub::new(With::EndsTwice);
    assert_eq!(stub.execute(submission(), Arc::new(NoSink)).unwrap().stdout, b"first");
    let (sink, ends) = Ends::new();
    stub.submit_job(submission(), sink).unwrap();
    assert_eq!(ends.try_iter().count(), 1);
}

#[test]
fn a_wait_that_was_given_up_is_not_wanted() {
    let stub = Stub::new(With::Keeps);
    for wait in [<Stub as Backend>::wait_job, <Stub as Backend>::cancel_job] {
        let error = wait(&stub, "job-1", &within(SHORT)).unwrap_err();
        assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some("job-1")));
        assert!(!stub.is_wanted());
        let cancelled = CallContext::default();
        cancelled.cancel.cancel();
        let error = wait(&stub, "job-1", &cancelled).unwrap_err();
        assert_eq!((error.code(), error.job_id()), (ErrorCode::Cancelled, Some("job-1")));
        assert!(!stub.is_wanted());
    }
    // A submission's own sink hears of the end, also when its caller waits no longer.
    let (sink, ends) = Ends::new();
    let submission = Submission { context: within(SHORT), ..submission() };
    let error = stub.submit_job(submission, sink).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
    assert!(stub.is_wanted());
    drop(stub);
    assert_lost(ends.try_recv().expect("the backend is gone"));
}

/// Panics where it gets the end.
struct Panics;

impl EventSink for Panics {
    fn finished(&self, _: Result<Job, Error>) {
        panic!("as the test wants it");
    }
}

#[test]
fn a_sink_that_panics_at_the_end_keeps_nobody_waiting() {
    let waiter = Waiter::before(Arc::new(Panics));
    let sink = waiter.sink();
    let backend = std::thread::spawn(move || sink.finished(Ok(ended(b"out"))));
    let end = waiter.wait_within("job-1", &within(Duration::from_secs(20)));
    assert_eq!(end.expect("the end came").result.unwrap().stdout, b"out");
    assert!(backend.join().is_err(), "the panic is the backend's to see");
    // A thread that panics already drops the sink.
    let waiter = Waiter::before(Arc::new(Panics));
    let sink = waiter.sink();
    let backend = std::thread::spawn(move || {
        let _sink = sink;
        panic!("the backend's own");
    });
    assert_lost(waiter.wait_within("job-1", &within(Duration::from_secs(20))));
    assert!(backend.join().is_err());
}

#[test]
fn an_execution_that_is_left_is_cancelled() {
    let stub = Stub::new(With::Keeps);
    let submission = Submission { context: within(SHORT), ..submission() };
    let cancel = submission.cancel.clone();
    assert_eq!(stub.execute(submission, Arc::new(NoSink)).unwrap_err().code(), ErrorCode::Timeout);
    assert!(cancel.is_cancelled());
}
