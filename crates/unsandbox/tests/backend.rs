// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of a backend that neither is the engine nor a server: `Backend` is the only way in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unsandbox::protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox::{
    Backend, CallContext, CallOptions, CancelToken, Client, Error, ErrorCode, Event, EventSink,
    ExecutionResult, Job, JobPage, Page, Probe, Request, Status, Stream, Submission,
};

/// Accepts when it is told to, from a thread of its own; the code `no` is refused, and `lost` dropped without an end.
#[derive(Debug, Default)]
struct Late {
    decide: Mutex<Option<Receiver<()>>>,
    /// Of the submission.
    token: Mutex<CancelToken>,
    closed: AtomicUsize,
}

impl Late {
    fn new() -> (Arc<Late>, Sender<()>) {
        let (sender, receiver) = channel();
        (Arc::new(Late { decide: Mutex::new(Some(receiver)), ..Late::default() }), sender)
    }
}

impl Backend for Late {
    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        let decide = self.decide.lock().unwrap().take().expect("one submission");
        *self.token.lock().unwrap() = submission.cancel.clone();
        std::thread::spawn(move || {
            decide.recv().unwrap();
            if submission.request.code == "no" {
                return sink.finished(Err(Error::new(ErrorCode::RateLimited, "the queue is full")));
            }
            let mut job = Job::new("late-1", Status::Pending);
            sink.event(Event::Accepted(&job));
            if submission.request.code == "lost" {
                return;
            }
            sink.event(Event::Started(&job));
            for (offset, bytes) in [(0, b"he"), (2, b"y\n")] {
                sink.event(Event::Output { stream: Stream::Stdout, offset, bytes });
            }
            let mut result = ExecutionResult::new(Status::Completed);
            result.stdout = b"hey\n".to_vec();
            job.status = Status::Completed;
            job.result = Some(result.into());
            sink.finished(Ok(job));
        });
    }

    fn watch(&self, id: &str, _: &CallContext, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        if id != "held" {
            return Err(Error::new(ErrorCode::NotFound, "no such job"));
        }
        // It never ends, and its sink is kept.
        std::mem::forget(sink);
        Ok(())
    }

    fn cancel(&self, id: &str, at: &CallContext, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        if id == "held" {
            return self.watch(id, at, sink);
        }
        let mut job = Job::new("late-1", Status::Cancelled);
        job.result = Some(ExecutionResult::new(Status::Cancelled).into());
        sink.finished(Ok(job));
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

    fn health(&self, context: &CallContext) -> Result<Health, Error> {
        let status = format!("{:?}", context.deadline);
        Ok(Health { healthy: true, status, raw: None })
    }

    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        Ok(Probe { level: None, layers: Vec::new() })
    }

    fn close(&self, _: Duration) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

fn client() -> (Client, Arc<Late>, Sender<()>) {
    let (backend, decide) = Late::new();
    (Client::from_backend(backend.clone(), "late:"), backend, decide)
}

#[test]
fn a_call_waits_for_a_backend_that_accepts_late() {
    let (client, backend, decide) = client();
    let (tell, told) = channel();
    let options = CallOptions::new().on_output(move |_, bytes| tell.send(bytes.to_vec()).unwrap());
    let caller = client.clone();
    let call =
        std::thread::spawn(move || caller.with(options).execute(&Request::new("bash", "echo hey")));
    decide.send(()).unwrap();
    assert_eq!(call.join().unwrap().unwrap().stdout, b"hey\n");
    assert_eq!(told.iter().collect::<Vec<_>>().concat(), b"hey\n");
    assert_eq!(client.endpoint(), "late:");
    client.close();
    client.close();
    assert_eq!(backend.closed.load(Ordering::SeqCst), 1);
    let error = client.health().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
}

#[test]
fn a_job_has_its_id_when_it_is_accepted() {
    let (client, _, decide) = client();
    decide.send(()).unwrap();
    let job = client.execute_async(&Request::new("bash", "")).unwrap();
    assert_eq!((job.job_id.as_str(), job.status), ("late-1", Status::Pending));
}

#[test]
fn a_late_refusal_is_the_error_of_the_call_and_of_the_task() {
    let (waiting, _, decide) = client();
    decide.send(()).unwrap();
    let error = waiting.execute_async(&Request::new("bash", "no")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    let (starting, _, decide) = client();
    let request = Request::new("bash", "no");
    let task = starting.start_execute(request, CallOptions::new(), None).unwrap();
    assert!(task.wait(Some(Duration::from_millis(1))).is_none(), "it is not answered yet");
    decide.send(()).unwrap();
    assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::RateLimited);
}

#[test]
fn a_run_whose_sink_is_dropped_ends_its_task_and_its_call() {
    let request = || Request::new("bash", "lost");
    let (starting, _, decide) = client();
    let task = starting.start_execute(request(), CallOptions::new(), None).unwrap();
    decide.send(()).unwrap();
    let end = task.wait(Some(Duration::from_secs(20))).expect("the task ends");
    let (waiting, _, decide) = client();
    decide.send(()).unwrap();
    for end in [end, waiting.execute(&request())] {
        let error = end.unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Internal, true), "{error}");
    }
}

#[test]
fn deadline_and_token_travel_with_each_call() {
    let (client, _, _decide) = client();
    let second = Duration::from_secs(1);
    let health = client.with(CallOptions::new().deadline(second)).health().unwrap();
    assert_eq!(health.status, "Some(1s)");
    let error = client.wait_job("held", Some(Duration::from_millis(5))).unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some("held")));
    let options = CallOptions::new();
    options.cancel.cancel();
    let error = client.with(options).wait_job("held").unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Cancelled, Some("held")));
    assert_eq!(client.wait_job("other", None).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(client.cancel_job("late-1").unwrap().status, Status::Cancelled);
}

#[test]
fn a_call_leaves_a_backend_that_does_not_answer() {
    let (client, backend, _decide) = client();
    let soon = || CallOptions::new().deadline(Duration::from_millis(5));
    let error = client.with(soon()).cancel_job("held").unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some("held")));
    let error = client.with(soon()).execute_async(&Request::new("bash", "")).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
    assert!(backend.token.lock().unwrap().is_cancelled(), "nobody has its id");
}

#[test]
fn the_backend_of_a_client_is_that_of_another() {
    let (first, _, decide) = client();
    decide.send(()).unwrap();
    let second = Client::from_backend(first.backend().unwrap().clone(), "second:");
    assert_eq!(second.execute(&Request::new("bash", "")).unwrap().stdout, b"hey\n");
    first.close();
    assert_eq!(first.backend().unwrap_err().code(), ErrorCode::Conflict);
}
