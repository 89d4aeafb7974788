// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live events: what a client reads of a job while it runs, how it resumes, and what ends the stream.

mod support;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};
use support::{Running, Wire, execute_body, keyed, start, start_at};
use unsandbox_protocol::wire::{EventParser, Frame, HEARTBEAT, StreamEvent, decode_stream_event};
use unsandbox_protocol::{JobEvent, Status, Stream};
use unsandbox_server::ServerOptions;

const ACCEPT: &str = "Accept: text/event-stream\r\n";

/// A client that reads a stream.
struct Events {
    wire: BufReader<Box<dyn Wire>>,
    head: String,
    parser: EventParser,
    frames: VecDeque<Frame>,
    comments: usize,
}

impl Events {
    fn read(wire: Box<dyn Wire>) -> Events {
        let mut wire = BufReader::with_capacity(1024, wire);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(wire.read_line(&mut head).unwrap() > 0, "no reply: {head:?}");
        }
        let parser = EventParser::new(64 << 20);
        Events {
            wire,
            head: head.to_ascii_lowercase(),
            parser,
            frames: VecDeque::new(),
            comments: 0,
        }
    }

    /// The next chunk of the reply; false at its end.
    fn read_chunk(&mut self) -> bool {
        let mut size = String::new();
        self.wire.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("{size:?}"));
        let mut chunk = vec![0; size + 2];
        self.wire.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        self.comments += usize::from(chunk == HEARTBEAT.as_bytes());
        let frames = &mut self.frames;
        let keep = &mut |frame| {
            frames.push_back(frame);
            Ok(())
        };
        self.parser.read(&chunk, keep).unwrap();
        size > 0
    }

    fn frame(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            if !self.read_chunk() {
                return None;
            }
        }
        self.frames.pop_front()
    }

    /// The next event: its name, its id and its data.
    #[track_caller]
    fn next(&mut self) -> (String, String, serde_json::Value) {
        let Frame { name, data, id } = self.frame().expect("a further event");
        (name, id, serde_json::from_str(&data).unwrap())
    }

    /// The next event is this one; gives its data.
    #[track_caller]
    fn expect(&mut self, name: &str, id: &str) -> serde_json::Value {
        let (found, at, data) = self.next();
        assert_eq!((found.as_str(), at.as_str()), (name, id), "{data}");
        data
    }

    /// Reads output until there is this much of it on a stream.
    fn read_output(&mut self, len: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < len {
            let frame = self.frame().expect("a further event");
            match decode_stream_event(frame).unwrap() {
                StreamEvent::Job(JobEvent::Output { offset, bytes, .. }) => {
                    assert_eq!(offset, read.len() as u64);
                    read.extend(bytes);
                }
                StreamEvent::Job(JobEvent::Queued(_) | JobEvent::Started(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        read
    }
}

fn submit(server: &Running, headers: &str) -> String {
    let body = execute_body("hold");
    server.call("POST", "/execute/async", headers, body.as_bytes()).text("job_id")
}

fn follow(server: &Running, id: &str, query: &str, headers: &str) -> Events {
    Events::read(server.send("GET", &format!("/jobs/{id}/events{query}"), headers, b""))
}

/// A held run whose client reads its events.
fn run(server: &Running, headers: &str) -> Events {
    let body = execute_body("hold");
    Events::read(server.send("POST", "/execute", &format!("{ACCEPT}{headers}"), body.as_bytes()))
}

#[test]
fn a_client_reads_what_happens_until_the_end() {
    let server = start(ServerOptions::default());
    let id = submit(&server, "");
    let mut events = follow(&server, &id, "", "");
    for header in ["content-type: text/event-stream", "cache-control: no-store", ", events"] {
        assert!(events.head.contains(header), "{header}: {}", events.head);
    }
    let queued = events.expect("queued", "0-0");
    assert_eq!((&queued["job_id"], &queued["status"]), (&id.as_str().into(), &"pending".into()));
    assert_eq!(events.expect("started", "0-0")["status"], "running");
    server.backend.wait_for_sinks(&id, 2);
    server.backend.print(&id, Stream::Stdout, b"caf\xc3");
    assert_eq!(events.expect("stdout", "3-0"), serde_json::json!({"offset": 0, "text": "caf"}));
    server.backend.print(&id, Stream::Stdout, b"\xa9\n");
    assert_eq!(events.expect("stdout", "6-0"), serde_json::json!({"offset": 3, "text": "é\n"}));
    server.backend.print(&id, Stream::Stderr, b"\xff");
    assert_eq!(events.expect("stderr", "6-1"), serde_json::json!({"offset": 0, "base64": "/w=="}));
    server.backend.print(&id, Stream::Stdout, b"\xe2\x82");
    server.backend.release();
    // Nothing more comes, so that the begun character is all there is.
    assert_eq!(events.expect("stdout", "8-1"), serde_json::json!({"offset": 6, "base64": "4oI="}));
    let finished = events.expect("finished", "8-1");
    assert_eq!(finished, server.get(&format!("/jobs/{id}")).json());
    assert!(events.frame().is_none());
}

#[test]
fn a_client_resumes_behind_its_last_event() {
    let server = start(ServerOptions::default());
    let id = submit(&server, "");
    server.backend.print(&id, Stream::Stdout, b"0123456789");
    server.backend.print(&id, Stream::Stderr, b"abc");
    let from = |query: &str, headers: &str| {
        let mut events = follow(&server, &id, query, headers);
        events.expect("queued", events_at(query, headers));
        events.next();
        [events.next(), events.next()].map(|(_, at, data)| (at, data["text"].clone()))
    };
    fn events_at<'a>(query: &'a str, headers: &'a str) -> &'a str {
        let last = headers.trim().strip_prefix("Last-Event-ID: ");
        last.or(query.strip_prefix("?from=")).unwrap_or("0-0")
    }
    let both = |first: (&str, &str), second: (&str, &str)| {
        [first, second].map(|(at, text)| (at.to_string(), serde_json::json!(text)))
    };
    assert_eq!(from("", ""), both(("10-0", "0123456789"), ("10-3", "abc")));
    assert_eq!(from("?from=4-1", ""), both(("10-1", "456789"), ("10-3", "bc")));
    assert_eq!(from("?from=0-0", "Last-Event-ID: 9-2\r\n"), both(("10-2", "9"), ("10-3", "c")));
    for wrong in ["?from=1", "?from=x-1", "?from="] {
        let path = format!("/jobs/{id}/events{wrong}");
        let message = server.get(&path).refused(400, "invalid_request");
        assert!(message.contains("STDOUT-STDERR"), "{message}");
    }
    server.backend.release();
    // The past of a job that has ended is read in the same way.
    assert_eq!(from("?from=4-1", ""), both(("10-1", "456789"), ("10-3", "bc")));
}

#[test]
fn output_that_is_not_kept_is_told_as_a_gap() {
    let server = start(ServerOptions::default());
    let id = submit(&server, "");
    server.backend.print(&id, Stream::Stdout, b"gone");
    server.backend.forget(&id);
    server.backend.print(&id, Stream::Stdout, b"kept");
    let mut events = follow(&server, &id, "?from=1-0", "");
    events.expect("queued", "1-0");
    events.expect("started", "1-0");
    let gap = serde_json::json!({"stream": "stdout", "offset": 1, "bytes": 3});
    assert_eq!(events.expect("gap", "4-0"), gap);
    assert_eq!(events.expect("stdout", "8-0")["text"], "kept");
}

#[test]
fn a_client_that_is_slower_than_its_program_reads_everything_once() {
    let server = start(ServerOptions::default());
    let id = submit(&server, "");
    let mut events = follow(&server, &id, "", "");
    server.backend.wait_for_sinks(&id, 2);
    let written: Vec<u8> = (0..4_000_000u32).flat_map(|i| (i as u16).to_le_bytes()).collect();
    for piece in written.chunks(100_000) {
        server.backend.print(&id, Stream::Stdout, piece);
    }
    assert!(events.read_output(written.len()) == written);
    server.backend.release();
    let end = format!("{}-0", written.len());
    events.expect("finished", &end);
    // So does one that comes after the end.
    let mut later = follow(&server, &id, "", "");
    assert!(later.read_output(written.len()) == written);
    later.expect("finished", &end);
}

#[test]
fn the_events_of_a_job_are_its_owners() {
    let server = start(keyed("a,b"));
    let id = submit(&server, "Authorization: Bearer a\r\n");
    let path = format!("/jobs/{id}/events");
    server.call("GET", &path, "Authorization: Bearer b\r\n", b"").refused(404, "not_found");
    server.call("GET", &path, "", b"").refused(401, "invalid_api_key");
    follow(&server, &id, "", "Authorization: Bearer a\r\n").expect("queued", "0-0");
}

#[test]
fn a_run_whose_events_are_read_is_cancelled_when_its_client_leaves() {
    let server = start(ServerOptions::default());
    let mut events = run(&server, "");
    let id = events.expect("queued", "0-0")["job_id"].as_str().unwrap().to_string();
    events.expect("started", "0-0");
    server.backend.print(&id, Stream::Stdout, b"so far");
    assert_eq!(events.expect("stdout", "6-0")["text"], "so far");
    drop(events);
    server.backend.wait_for(&Status::Cancelled, 1);
}

#[test]
fn a_run_ends_with_its_job_or_with_its_error() {
    let server = start(ServerOptions::default());
    let mut events = run(&server, "");
    let id = events.expect("queued", "0-0")["job_id"].as_str().unwrap().to_string();
    events.expect("started", "0-0");
    server.backend.release();
    assert_eq!(events.expect("finished", "0-0"), server.get(&format!("/jobs/{id}")).json());
    assert!(events.frame().is_none());
    // What a reply without events would have said, with the status that it would have had.
    let failing = server.send("POST", "/execute", ACCEPT, execute_body("fail").as_bytes());
    let mut failing = Events::read(failing);
    failing.expect("queued", "0-0");
    failing.expect("started", "0-0");
    server.backend.release();
    let error = failing.expect("error", "0-0");
    assert_eq!((&error["error"], &error["http_status"]), (&"internal".into(), &500.into()));
    assert_eq!(error["job_id"], "job-2");
    // A submission that is refused has no events.
    let refused = server.call("POST", "/execute", ACCEPT, execute_body("busy").as_bytes());
    refused.refused(429, "rate_limit_exceeded");
}

#[test]
fn the_same_key_again_reads_the_events_of_the_first_run() {
    let server = start(ServerOptions::default());
    let mut first = run(&server, "Idempotency-Key: k\r\n");
    let id = first.expect("queued", "0-0")["job_id"].as_str().unwrap().to_string();
    first.expect("started", "0-0");
    server.backend.print(&id, Stream::Stdout, b"0123456789");
    first.expect("stdout", "10-0");
    drop(first);
    let mut again = run(&server, "Idempotency-Key: k\r\nLast-Event-ID: 4-0\r\n");
    assert_eq!(again.expect("queued", "4-0")["job_id"], id.as_str());
    again.expect("started", "4-0");
    assert_eq!(again.expect("stdout", "10-0")["text"], "456789");
    server.backend.release();
    assert_eq!(again.expect("finished", "10-0")["status"], "completed");
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_submission_without_the_header_is_answered_as_ever() {
    let server = start(ServerOptions::default());
    let body = execute_body("plain");
    for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        let reply = server.call("POST", "/execute", accept, body.as_bytes());
        assert_eq!(reply.text("stdout"), "plain");
    }
    let listed = server.call("POST", "/execute/async", ACCEPT, body.as_bytes());
    assert_eq!(listed.text("status"), "pending");
    let both = "Accept: application/json, text/Event-Stream;q=0.9\r\n";
    let mut events = Events::read(server.send("POST", "/execute", both, body.as_bytes()));
    events.expect("queued", "0-0");
}

#[test]
fn a_stream_says_that_it_is_there_while_nothing_happens() {
    let heartbeat = Duration::from_millis(20);
    let server = start(ServerOptions { heartbeat, ..ServerOptions::default() });
    let id = submit(&server, "");
    let mut events = follow(&server, &id, "", "");
    while events.comments < 3 {
        assert!(events.read_chunk());
    }
    let mut run = run(&server, "");
    while run.comments < 3 {
        assert!(run.read_chunk());
    }
}

#[test]
fn a_stream_makes_room_for_others_and_is_resumed() {
    let server = start(ServerOptions { connections: 2, ..ServerOptions::default() });
    let id = submit(&server, "");
    let mut events = follow(&server, &id, "", "");
    events.expect("queued", "0-0");
    events.expect("started", "0-0");
    server.backend.print(&id, Stream::Stdout, b"before");
    events.expect("stdout", "6-0");
    let mut run = run(&server, "");
    run.expect("queued", "0-0");
    // Both places are in use: the run is not closed for a third connection, and the stream ends whole.
    assert_eq!(server.get("/health").status, 200);
    assert!(events.frame().is_none());
    let mut again = follow(&server, &id, "", "Last-Event-ID: 6-0\r\n");
    again.expect("queued", "6-0");
    again.expect("started", "6-0");
    server.backend.print(&id, Stream::Stdout, b"after");
    assert_eq!(again.expect("stdout", "11-0")["text"], "after");
}

#[test]
fn a_stop_sends_the_end_of_the_jobs_that_it_cancels() {
    let grace = Duration::from_millis(100);
    let mut server = start(ServerOptions { grace, ..ServerOptions::default() });
    let id = submit(&server, "");
    let (mut events, mut run) = (follow(&server, &id, "", ""), run(&server, ""));
    for stream in [&mut events, &mut run] {
        stream.expect("queued", "0-0");
        stream.expect("started", "0-0");
    }
    server.stop.cancel();
    for stream in [&mut events, &mut run] {
        assert_eq!(stream.expect("finished", "0-0")["status"], "cancelled");
        assert!(stream.frame().is_none());
    }
    server.join();
}

#[test]
fn a_stream_ends_with_the_server_where_its_job_does_not() {
    let options = ServerOptions { grace: Duration::ZERO, ..ServerOptions::default() };
    let mut server = start(options);
    let body = execute_body("endless");
    let id = server.call("POST", "/execute/async", "", body.as_bytes()).text("job_id");
    let mut events = follow(&server, &id, "", "");
    events.expect("queued", "0-0");
    events.expect("started", "0-0");
    server.stop.cancel();
    assert!(events.frame().is_none(), "the reply is complete, but it has no end of the job");
    server.backend.release();
    server.join();
}

/// On a Unix socket, whose buffer is small.
fn impatient(name: &str) -> (Running, Duration) {
    let reply_time = Duration::from_millis(300);
    let options = ServerOptions { reply_time, reply_rate: 1 << 30, ..ServerOptions::default() };
    let path = std::env::temp_dir().join(format!("us-events-{name}-{}.sock", std::process::id()));
    (start_at(&format!("unix:{}", path.display()), options), reply_time)
}

#[test]
fn a_stream_may_be_quiet_for_longer_than_a_reply_may_be_slow() {
    let (server, reply_time) = impatient("quiet");
    let id = submit(&server, "");
    let mut events = follow(&server, &id, "", "");
    let large = vec![b'x'; 2 << 20];
    server.backend.wait_for_sinks(&id, 2);
    server.backend.print(&id, Stream::Stdout, &large);
    // The client takes it a moment later, and then nothing happens for long.
    std::thread::sleep(reply_time / 3);
    events.read_output(large.len());
    std::thread::sleep(4 * reply_time);
    server.backend.print(&id, Stream::Stderr, &large);
    std::thread::sleep(reply_time / 3);
    events.read_output(large.len());
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_its_run_cancelled() {
    let (server, reply_time) = impatient("untaken");
    let mut events = run(&server, "");
    let id = events.expect("queued", "0-0")["job_id"].as_str().unwrap().to_string();
    let began = Instant::now();
    server.backend.print(&id, Stream::Stdout, &vec![b'x'; 2 << 20]);
    server.backend.wait_for(&Status::Cancelled, 1);
    assert!(began.elapsed() >= reply_time);
}
