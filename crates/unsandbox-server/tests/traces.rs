// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces: a request and the parts of its run are spans in the trace of the client.

mod support;

use log::kv::Key;
use log::{Log, Metadata, Record};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};
use support::{COMPILE_MS, RUN_MS, Running, TEST_TIMEOUT, execute_body, start};
use unsandbox_protocol::Status;
use unsandbox_server::{ServerOptions, Span, SpanSink, SpanValue, Tracing};

const TRACE: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
const PARENT: [u8; 8] = *b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7";
const SAMPLED: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
const UNSAMPLED: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n";

/// Keeps the spans, for a test that waits for them.
#[derive(Debug, Default)]
struct Recorded {
    spans: Mutex<Vec<Span>>,
    changed: Condvar,
}

impl SpanSink for Recorded {
    fn export(&self, span: Span) {
        self.spans.lock().unwrap().push(span);
        self.changed.notify_all();
    }
}

impl Recorded {
    /// Waits for so many spans, and takes them.
    fn take(&self, count: usize) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let fewer = |spans: &mut Vec<Span>| spans.len() < count;
        let (mut spans, wait) =
            self.changed.wait_timeout_while(spans, TEST_TIMEOUT, fewer).unwrap();
        assert!(!wait.timed_out(), "{count} spans never came: {spans:?}");
        std::mem::take(&mut *spans)
    }

    fn names(&self) -> Vec<String> {
        self.spans.lock().unwrap().iter().map(|span| span.name.clone()).collect()
    }
}

fn traced(root_ratio: f64) -> (Running, Arc<Recorded>) {
    let sink = Arc::new(Recorded::default());
    let tracing = Some(Tracing { sink: sink.clone(), root_ratio });
    (start(ServerOptions { tracing, ..ServerOptions::default() }), sink)
}

fn post(server: &Running, path: &str, headers: &str, code: &str) -> support::Reply {
    server.call("POST", path, headers, execute_body(code).as_bytes())
}

fn text<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    span.attributes.iter().find(|it| it.0 == name).and_then(|(_, value)| match value {
        SpanValue::Text(text) => Some(text.as_str()),
        SpanValue::Number(_) => None,
    })
}

/// The request, and the parts by their names.
fn split(spans: Vec<Span>) -> (Span, Vec<Span>) {
    let (mut requests, parts): (Vec<_>, Vec<_>) =
        spans.into_iter().partition(|span| span.is_request);
    assert_eq!(requests.len(), 1, "{requests:?}");
    (requests.remove(0), parts)
}

fn took(span: &Span) -> Duration {
    span.end.duration_since(span.start).unwrap()
}

#[test]
fn a_run_is_parts_of_the_request_in_the_trace_of_its_client() {
    let (server, sink) = traced(0.0);
    let before = SystemTime::now();
    let headers =
        format!("{SAMPLED}tracestate: a=1\r\ntracestate: b=2\r\nX-Request-Id: the-id\r\n");
    let reply = post(&server, "/execute", &headers, "timed");
    let (request, parts) = split(sink.take(5));
    assert_eq!(request.name, "POST /execute");
    assert_eq!((request.trace_id, request.parent), (TRACE, Some(PARENT)));
    assert!(request.parent_is_remote && request.error.is_none());
    assert_eq!(request.state.as_deref(), Some("a=1,b=2"));
    assert!(request.start >= before && request.end <= SystemTime::now());
    let job_id = reply.text("job_id");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/execute"),
        ("client.address", "127.0.0.1"),
        ("unsandbox.request_id", "the-id"),
        ("unsandbox.job_id", &job_id),
        ("unsandbox.language", "python"),
    ] {
        assert_eq!(text(&request, name), Some(value), "{name}");
    }
    let status = ("http.response.status_code", SpanValue::Number(200));
    assert!(request.attributes.contains(&status), "{request:?}");
    let names: Vec<_> = parts.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["queue", "build", "run", "collect"]);
    for part in &parts {
        assert_eq!((part.trace_id, part.parent), (TRACE, Some(request.id)));
        assert!(!part.parent_is_remote && part.id != request.id);
        assert_eq!(text(part, "unsandbox.job_id"), Some(job_id.as_str()));
    }
    for both in parts.windows(2) {
        assert!(both[0].start <= both[0].end && both[0].end == both[1].start, "{both:?}");
        assert_ne!(both[0].id, both[1].id);
    }
    assert!(request.start <= parts[0].start && parts[3].end <= request.end, "{parts:?}");
    assert_eq!(took(&parts[1]), Duration::from_millis(COMPILE_MS));
    assert_eq!(took(&parts[2]), Duration::from_millis(RUN_MS));
}

#[test]
fn the_client_decides_about_its_trace_and_the_ratio_about_others() {
    for (root_ratio, others) in [(0.0, 0), (1.0, 1)] {
        let (mut server, sink) = traced(root_ratio);
        post(&server, "/execute", UNSAMPLED, "timed");
        server.call("GET", "/languages", "", b"");
        server.call("GET", "/languages", SAMPLED, b"");
        server.stop.cancel();
        server.join();
        assert_eq!(sink.names(), vec!["GET /languages"; 1 + others]);
        let spans = sink.take(1 + others);
        let of_client = spans.iter().filter(|span| span.trace_id == TRACE).count();
        assert_eq!(of_client, 1);
        let root = spans.iter().find(|span| span.trace_id != TRACE);
        assert!(root.is_none_or(|root| root.parent.is_none() && !root.parent_is_remote));
    }
}

#[test]
fn the_parts_of_a_job_come_after_its_reply() {
    let (server, sink) = traced(1.0);
    let job = post(&server, "/execute/async", SAMPLED, "hold").text("job_id");
    let (request, parts) = split(sink.take(1));
    assert_eq!((request.name.as_str(), parts.len()), ("POST /execute/async", 0));
    server.backend.wait_for(&Status::Running, 1);
    server.call("DELETE", &format!("/jobs/{job}"), UNSAMPLED, b"");
    // It was ended before its program was started.
    let waited = sink.take(1);
    assert_eq!((waited[0].name.as_str(), waited[0].trace_id), ("queue", TRACE));
    assert_eq!(waited[0].parent, Some(request.id));
    assert!(waited[0].end > request.end, "{waited:?} {request:?}");
    assert_eq!(text(&waited[0], "unsandbox.job_id"), Some(job.as_str()));
}

#[test]
fn a_malformed_traceparent_begins_a_new_trace() {
    let (server, sink) = traced(1.0);
    let twice = format!("{SAMPLED}{SAMPLED}");
    let upper = SAMPLED.replace("4bf92f", "4BF92F");
    for headers in ["traceparent: x\r\n", &twice, &upper] {
        server.call("GET", "/healthz", headers, b"");
        let span = sink.take(1).remove(0);
        assert_eq!((span.name.as_str(), span.parent), ("GET /healthz", None));
        assert!(span.trace_id != TRACE && span.trace_id != [0; 16] && span.state.is_none());
    }
}

#[test]
fn only_a_failure_of_the_server_is_an_error() {
    let (server, sink) = traced(1.0);
    post(&server, "/execute", "", "busy");
    let refused = sink.take(1).remove(0);
    assert_eq!(refused.error, None);
    assert!(refused.attributes.contains(&("http.response.status_code", SpanValue::Number(429))));
    server.call("FROB", "/no/such/path", "", b"");
    let unknown = sink.take(1).remove(0);
    assert_eq!(text(&unknown, "http.request.method"), Some("_OTHER"), "{unknown:?}");
    assert!(!unknown.name.contains("such"), "{unknown:?}");
    post(&server, "/execute", "", "panic");
    let (failed, _) = split(sink.take(1));
    assert_eq!(failed.error.as_deref(), Some("HTTP 500"), "{failed:?}");
}

static TRACE_IDS: Mutex<Vec<(String, Option<String>)>> = Mutex::new(Vec::new());

/// Keeps the path and the trace id of each request.
struct Keep;

impl Log for Keep {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        let field = |name: &'static str| {
            let value = record.key_values().get(Key::from_str(name))?;
            Some(value.to_borrowed_str()?.to_string())
        };
        if let Some(path) = field("path") {
            TRACE_IDS.lock().unwrap().push((path, field("trace_id")));
        }
    }
    fn flush(&self) {}
}

#[test]
fn the_log_has_the_trace_id_with_a_collector_or_without_one() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let logged = |path: &str| {
        let kept = TRACE_IDS.lock().unwrap();
        kept.iter().filter(|line| line.0 == path).map(|line| line.1.clone()).collect::<Vec<_>>()
    };
    let given = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_string());
    let mut bare = start(ServerOptions::default());
    bare.call("GET", "/jobs/bare-a", UNSAMPLED, b"");
    bare.call("GET", "/jobs/bare-b", "", b"");
    bare.stop.cancel();
    bare.join();
    assert_eq!(logged("/jobs/bare-a"), vec![given]);
    assert_eq!(logged("/jobs/bare-b"), vec![None]);
    let (mut server, sink) = traced(1.0);
    server.call("GET", "/jobs/traced", "", b"");
    let span = sink.take(1).remove(0);
    server.stop.cancel();
    server.join();
    let hex: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(logged("/jobs/traced"), vec![Some(hex)]);
}
