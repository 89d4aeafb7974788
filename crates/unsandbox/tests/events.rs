// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live events of a server: callbacks and readers get each byte once and as it comes, over lost connections too.

mod stub;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;
mod switch;

use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stub::{Play, Stub, json, with};
use support::{Running, start};
use switch::Switch;
use unsandbox::{
    CallOptions, CancelToken, Client, Error, ErrorCode, ExecutionResult, JobEvent, Offsets,
    Request, Status, Stream,
};
use unsandbox_server::ServerOptions;

const SOON: Duration = Duration::from_secs(20);
const ID: &str = "job-1";

type Pieces = Receiver<(Stream, Vec<u8>)>;
type End = Result<ExecutionResult, Error>;

fn client(url: &str) -> Client {
    Client::builder().base_url(url).no_proxy().build().unwrap()
}

fn options() -> (CallOptions, Pieces) {
    let (sender, pieces) = channel();
    let options = CallOptions::new().on_output(move |stream, bytes| {
        let _ = sender.send((stream, bytes.to_vec()));
    });
    (options, pieces)
}

/// A held program of a client, and its output as it comes.
struct Call {
    pieces: Pieces,
    thread: JoinHandle<End>,
}

impl Call {
    fn new(client: &Client, change: impl FnOnce(CallOptions) -> CallOptions) -> Call {
        let (options, pieces) = options();
        let (client, options) = (client.clone(), change(options));
        let execute = move || client.with(options).execute(&Request::new("python", "hold"));
        Call { pieces, thread: std::thread::spawn(execute) }
    }

    /// The next output is this.
    #[track_caller]
    fn reads(&self, stream: Stream, expected: &[u8]) {
        let (from, mut bytes) = self.pieces.recv_timeout(SOON).expect("output");
        while bytes.len() < expected.len() {
            bytes.extend(self.pieces.recv_timeout(SOON).expect("the rest").1);
        }
        assert_eq!((from, &bytes[..]), (stream, expected));
    }

    /// The end; no output comes that was not read.
    fn end(self) -> End {
        let end = self.thread.join().unwrap();
        assert_eq!(self.pieces.try_iter().collect::<Vec<_>>(), []);
        end
    }
}

fn held(server: &Running) {
    server.backend.wait_for(&Status::Running, 1);
    // Its submission, and the stream of its events.
    server.backend.wait_for_sinks(ID, 2);
}

#[test]
fn a_callback_gets_output_while_the_program_runs() {
    let server = start(ServerOptions::default());
    // Both routes: a synchronous run, and a job.
    for cancel_job in [false, true] {
        let id = if cancel_job { "job-2" } else { ID };
        let call =
            Call::new(&client(&server.address), |options| CallOptions { cancel_job, ..options });
        server.backend.wait_for(&Status::Running, 1);
        server.backend.wait_for_sinks(id, 2);
        server.backend.print(id, Stream::Stdout, b"one\n");
        call.reads(Stream::Stdout, b"one\n");
        server.backend.print(id, Stream::Stderr, b"caf\xe9\n");
        call.reads(Stream::Stderr, b"caf\xe9\n");
        server.backend.print(id, Stream::Stdout, b"two\n");
        call.reads(Stream::Stdout, b"two\n");
        server.backend.release();
        let result = call.end().unwrap();
        assert_eq!(
            (&result.stdout[..], &result.stderr[..]),
            (&b"one\ntwo\n"[..], &b"caf\xe9\n"[..])
        );
        assert_eq!(result.job_id.as_deref(), Some(id));
    }
}

#[test]
fn output_goes_on_where_a_lost_connection_ended() {
    for cancel_job in [false, true] {
        let server = start(ServerOptions::default());
        let switch = Switch::to(&server.address);
        let call = Call::new(&client(&switch.url), |options| CallOptions { cancel_job, ..options });
        held(&server);
        server.backend.print(ID, Stream::Stdout, b"before");
        call.reads(Stream::Stdout, b"before");
        for text in ["between", "after"] {
            switch.cut();
            server.backend.print(ID, Stream::Stdout, text.as_bytes());
            call.reads(Stream::Stdout, text.as_bytes());
        }
        server.backend.release();
        assert_eq!(call.end().unwrap().stdout, b"beforebetweenafter");
        assert_eq!(server.backend.submissions(), 1);
    }
}

#[test]
fn a_cancelled_call_ends_its_program() {
    for cancel_job in [false, true] {
        let server = start(ServerOptions::default());
        let token = CancelToken::new();
        let call = Call::new(&client(&server.address), |options| CallOptions {
            cancel_job,
            ..options.cancel(token.clone())
        });
        held(&server);
        server.backend.print(ID, Stream::Stdout, b"so far");
        call.reads(Stream::Stdout, b"so far");
        token.cancel();
        assert_eq!(call.end().unwrap_err().code(), ErrorCode::Cancelled);
        server.backend.wait_for(&Status::Cancelled, 1);
    }
}

#[test]
fn errors_are_those_of_a_call_without_a_callback() {
    let server = start(ServerOptions::default());
    let client = Client::builder().base_url(&server.address).no_proxy().retries(0).build().unwrap();
    for code in ["busy", "fail"] {
        let failed = |is_live: bool| {
            let options = if is_live { options().0 } else { CallOptions::new() };
            let (client, request) = (client.clone(), Request::new("python", code));
            let call = std::thread::spawn(move || client.with(options).execute(&request));
            if code == "fail" {
                server.backend.wait_for(&Status::Running, 1);
                server.backend.release();
            }
            let error = call.join().unwrap().unwrap_err();
            (error.code(), error.http_status(), error.may_have_run(), error.retry_after_ms())
        };
        // The features of the server are known by the second call.
        assert_eq!(failed(false), failed(true), "{code}");
    }
}

#[test]
fn a_job_tells_its_output_to_a_callback_of_its_submission_and_of_a_wait() {
    let server = start(ServerOptions::default());
    let client = client(&server.address);
    client.health().unwrap();
    let (of_submission, submitted) = options();
    let job = client.with(of_submission).execute_async(&Request::new("python", "hold")).unwrap();
    let (of_wait, waited) = options();
    let (other, id) = (client.clone(), job.job_id.clone());
    let wait = std::thread::spawn(move || other.with(of_wait).wait_job(&id));
    server.backend.wait_for_sinks(&job.job_id, 3);
    server.backend.print(&job.job_id, Stream::Stdout, b"live");
    for pieces in [&submitted, &waited] {
        assert_eq!(pieces.recv_timeout(SOON).unwrap(), (Stream::Stdout, b"live".to_vec()));
    }
    server.backend.release();
    assert_eq!(wait.join().unwrap().unwrap().stdout, b"live");
    // A wait for a job that has ended gives its output too.
    let (late, pieces) = options();
    client.with(late).wait_job(&job.job_id).unwrap();
    assert_eq!(pieces.try_iter().collect::<Vec<_>>(), [(Stream::Stdout, b"live".to_vec())]);
    let (unknown, _pieces) = options();
    let error = client.with(unknown).wait_job("job-9").unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[test]
fn a_reader_of_events_takes_them_when_it_likes_and_resumes() {
    let server = start(ServerOptions::default());
    let client = client(&server.address);
    let job = client.execute_async(&Request::new("python", "hold")).unwrap();
    let mut events = client.job_events(&job.job_id, Offsets::default()).unwrap();
    let Some(Ok(JobEvent::Queued(queued))) = events.next() else { panic!("queued") };
    assert_eq!((&queued.job_id, queued.status), (&job.job_id, Status::Pending));
    assert!(matches!(events.next(), Some(Ok(JobEvent::Started(_)))));
    assert!(matches!(events.next_within(Duration::from_millis(10)), Poll::Pending));
    server.backend.print(ID, Stream::Stdout, b"first");
    let stream = Stream::Stdout;
    let first = JobEvent::Output { stream, offset: 0, bytes: b"first".to_vec() };
    assert_eq!(events.next().unwrap().unwrap(), first);
    let at = events.offsets();
    assert_eq!(at, Offsets { stdout: 5, stderr: 0 });
    drop(events);
    // The connection ends with its reader: a heartbeat would come too late.
    let sinks = || {
        // One that is not wanted any more is dropped when another one comes.
        client.job_events(&job.job_id, Offsets::default()).unwrap().next();
        server.backend.sinks(&job.job_id)
    };
    let began = Instant::now();
    while sinks() > 2 {
        assert!(began.elapsed() < Duration::from_secs(10), "{} sinks", sinks());
    }
    // More than waits for one reader: the rest is asked for again.
    let large: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    server.backend.print(ID, Stream::Stdout, &large);
    server.backend.release();
    let mut read = Vec::new();
    let mut end = None;
    for event in client.job_events(&job.job_id, at).unwrap() {
        match event.unwrap() {
            JobEvent::Output { offset, bytes, .. } => {
                assert_eq!(offset, 5 + read.len() as u64);
                read.extend(bytes);
            }
            JobEvent::Finished(job) => end = job.result,
            _ => assert!(read.is_empty()),
        }
    }
    assert!(read == large);
    assert_eq!(end.unwrap().stdout.len(), 5 + large.len());
    let mut unknown = client.job_events("job-9", Offsets::default()).unwrap();
    assert_eq!(unknown.next().unwrap().unwrap_err().code(), ErrorCode::NotFound);
    assert!(unknown.next().is_none());
}

#[test]
fn a_reader_of_events_ends_by_its_deadline_and_its_token() {
    let server = start(ServerOptions::default());
    let client = client(&server.address);
    let job = client.execute_async(&Request::new("python", "hold")).unwrap();
    let short = CallOptions::new().deadline(Duration::from_millis(300));
    let token = CancelToken::new();
    let stopped = CallOptions::new().cancel(token.clone());
    for (options, code) in [(short, ErrorCode::Timeout), (stopped, ErrorCode::Cancelled)] {
        let events = client.with(options).job_events(&job.job_id, Offsets::default()).unwrap();
        let mut last = None;
        for event in events {
            last = Some(event);
            token.cancel();
        }
        assert_eq!(last.unwrap().unwrap_err().code(), code);
    }
    assert_eq!(client.get_job(&job.job_id).unwrap().status, Status::Running, "the job goes on");
}

const EVENTS: &str =
    "X-Unsandbox-Features: run-json, idempotency=process:0123456789abcdef, wait, events";
const DONE: &str = r#"{"job_id":"j","status":"completed","result":{"success":true,"stdout":"one two","stderr":"","exit_code":0}}"#;

fn streamed(events: &str) -> Play {
    let kind = "Content-Type: text/event-stream".to_string();
    Play::Answer(200, vec![kind, EVENTS.into()], events.into())
}

/// The result of an execution as a job, and what its callback got.
fn executed(stub: &Stub) -> (End, Vec<(Stream, Vec<u8>)>) {
    let (options, pieces) = options();
    let options = CallOptions { cancel_job: true, ..options };
    let end = stub::client(stub).with(options).execute(&Request::new("python", "x"));
    (end, pieces.try_iter().collect())
}

#[test]
fn a_job_is_polled_where_its_events_cannot_be_read() {
    let cut = "event: stdout\nid: 3-0\ndata: {\"offset\":0,\"text\":\"one\"}\n\nevent: std";
    let garbage = "event: stdout\ndata: [\n\n";
    for (play, first) in [
        (json(501, r#"{"error":"internal","message":"no events here"}"#), ""),
        (json(404, r#"{"error":"not_found"}"#), ""),
        (json(200, r#"{"job_id":"j","status":"running"}"#), ""),
        (streamed(garbage), ""),
        (streamed(cut), "one"),
    ] {
        let play = std::sync::Mutex::new(Some(play));
        let stub = Stub::start_whole(move |asked| match asked.path() {
            "/execute/async" => with(json(200, r#"{"job_id":"j","status":"pending"}"#), EVENTS),
            "/jobs/j" => with(json(200, DONE), EVENTS),
            "/health" => with(json(200, r#"{"status":"ok"}"#), EVENTS),
            "/jobs/j/events" => {
                let first = play.lock().unwrap().take();
                first.unwrap_or_else(|| json(501, r#"{"error":"internal"}"#))
            }
            other => panic!("{other}"),
        });
        let (end, pieces) = executed(&stub);
        assert_eq!(end.unwrap().stdout, b"one two");
        let read: Vec<u8> = pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(read, b"one two", "each byte once");
        assert_eq!(pieces.len(), if first.is_empty() { 1 } else { 2 });
        let resumed = stub.asked().into_iter().filter(|asked| asked.path() == "/jobs/j/events");
        let mut ids = resumed.filter_map(|it| it.header("last-event-id").map(str::to_string));
        assert_eq!(ids.next().as_deref(), (!first.is_empty()).then_some("3-0"));
    }
}

#[test]
fn a_reply_that_is_not_a_stream_is_the_result() {
    let server = start(ServerOptions::default());
    // It drops the header that asks for events.
    let gateway = Switch::gateway(&server.address);
    let (options, pieces) = options();
    let result = client(&gateway.url).with(options).execute(&Request::new("python", "plain"));
    assert_eq!(result.unwrap().stdout, b"plain");
    assert_eq!(pieces.try_iter().collect::<Vec<_>>(), [(Stream::Stdout, b"plain".to_vec())]);
}

#[test]
fn output_without_a_reader_is_not_asked_for() {
    let stub = Stub::start_whole(|asked| {
        assert_eq!(asked.header("accept"), Some("application/json"));
        with(json(200, DONE), EVENTS)
    });
    let client = stub::client(&stub);
    for _ in 0..2 {
        client.execute(&Request::new("python", "x")).unwrap();
    }
    client.execute_async(&Request::new("python", "x")).unwrap();
    assert!(stub.asked().iter().all(|asked| !asked.path().ends_with("/events")));
}
