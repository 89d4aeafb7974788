// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces of `unsandbox serve` with its real engine, as a collector of OpenTelemetry gets them.
#![cfg(feature = "otlp")]

mod shell;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use shell::{call, listening, signal, unsandbox};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use support::{Reply, TEST_TIMEOUT, read_reply, request};

/// The bound that the documents state for the end of a server whose collector does not answer.
const FLUSH_TIME: Duration = Duration::from_secs(5);
const TRACE: &[u8] = b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
const SAMPLED: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// What the server sent to its collector.
struct Sent {
    head: String,
    body: Vec<u8>,
}

impl Sent {
    fn has(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.body.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// A collector that answers every request with this status line.
fn collector(status: &'static str) -> (String, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || answer(&stream.unwrap(), status, &sender));
        }
    });
    (url, receiver)
}

fn answer(mut stream: &TcpStream, status: &str, sender: &Sender<Sent>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).unwrap();
        let _ = sender.send(Sent { head, body });
    }
}

struct Served {
    child: Child,
    log: BufReader<ChildStderr>,
    host: String,
}

impl Served {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Served {
        let fixed = ["serve", "--isolation", "auto", "--listen", "127.0.0.1:0", "--grace", "0"];
        let mut command = unsandbox(&[&fixed, args].concat());
        command.envs(variables.iter().copied()).stderr(Stdio::piped());
        let (mut child, url) = listening(&mut command);
        let log = BufReader::new(child.stderr.take().unwrap());
        Served { log, host: url.strip_prefix("http://").unwrap().to_string(), child }
    }

    fn run(&self, headers: &str) -> Reply {
        let body = serde_json::json!({"language": "bash", "code": "echo out"}).to_string();
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let bytes = request(&self.host, "POST", "/execute", headers, body.as_bytes());
        stream.write_all(&bytes).unwrap();
        let reply = read_reply(&mut stream);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    /// Stops the server; gives the rest of its log, and how long the stop took.
    fn stop(mut self) -> (String, Duration) {
        let begun = Instant::now();
        signal(&self.child, "TERM");
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        (log, begun.elapsed())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_collector_gets_the_spans_of_a_run_by_the_end_of_the_server() {
    let (url, sent) = collector("200 OK");
    let secret = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=the-secret-token"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://the-option-wins.invalid"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=the-test"),
    ];
    let served = Served::start(&["--otlp", &url, "--verbose"], &secret);
    let job_id = served.run(SAMPLED).text("job_id");
    let (log, _) = served.stop();
    let sent = sent.recv_timeout(TEST_TIMEOUT).unwrap();
    assert!(sent.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", sent.head);
    assert!(sent.head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{}", sent.head);
    assert!(sent.head.contains("\r\nx-token: the-secret-token\r\n"), "{}", sent.head);
    assert!(sent.has(TRACE));
    for word in ["POST /execute", "queue", "run", "collect", "service.version", "the-test"] {
        assert!(sent.has(word), "{word}");
    }
    // Each a value of its own, after its length.
    assert!(sent.has("\x09unsandbox") && sent.has(&job_id));
    assert!(log.contains(&format!("traces go to {url}/v1/traces")), "{log}");
    assert!(!log.contains("secret") && !log.contains("spans did not reach"), "{log}");
}

#[test]
fn the_variables_name_the_collector_the_service_and_the_sampler() {
    let (url, sent) = collector("200 OK");
    let url = format!("{url}/own/path");
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url.as_str()),
        ("OTEL_SERVICE_NAME", "the-service"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let served = Served::start(&[], &variables);
    let unsampled = served.run("").text("job_id");
    let sampled = served.run(SAMPLED).text("job_id");
    served.stop();
    let sent = sent.recv_timeout(TEST_TIMEOUT).unwrap();
    assert!(sent.head.starts_with("post /own/path http/1.1\r\n"), "{}", sent.head);
    assert!(sent.has("the-service") && sent.has(sampled) && !sent.has(unsampled));
}

#[test]
fn spans_are_sent_while_the_server_runs() {
    let (url, sent) = collector("200 OK");
    let served = Served::start(&["--otlp", &url], &[("OTEL_BSP_SCHEDULE_DELAY", "10")]);
    served.run(SAMPLED);
    assert!(sent.recv_timeout(TEST_TIMEOUT).unwrap().has(TRACE));
    served.stop();
}

#[test]
fn a_collector_that_is_down_or_refuses_costs_spans_and_one_warning() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, sent) = collector("401 Unauthorized");
    for (url, cause) in [(format!("http://{nobody}"), "refused"), (refusing, "it answered 401")] {
        let often = [("OTEL_BSP_SCHEDULE_DELAY", "1")];
        let mut served = Served::start(&["--otlp", &url], &often);
        served.run("");
        // The warning comes while it runs.
        let mut line = String::new();
        while !line.contains("spans did not reach the collector of traces: ") {
            line.clear();
            assert_ne!(served.log.read_line(&mut line).unwrap(), 0, "no warning");
        }
        assert!(line.contains("WARN") && line.contains(cause), "{line}");
        served.run("");
        let (rest, took) = served.stop();
        assert!(took < 2 * FLUSH_TIME, "{took:?} {rest}");
        let warnings = rest.lines().filter(|line| line.contains("spans did not reach")).count();
        assert!(warnings <= 1, "{rest}");
    }
    assert!(sent.try_recv().is_ok());
}

#[test]
fn a_collector_that_does_not_answer_delays_the_end_by_a_bounded_time() {
    // Connections are made by the kernel, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let patient = [("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"), ("OTEL_BSP_MAX_QUEUE_SIZE", "2")];
    let served = Served::start(&["--otlp", &url], &patient);
    for _ in 0..3 {
        served.run(SAMPLED);
    }
    let (log, took) = served.stop();
    assert!(took < 2 * FLUSH_TIME, "{took:?}");
    assert!(log.contains("1 spans did not reach the collector of traces: 2 wait to be"), "{log}");
    let lost: usize = log
        .lines()
        .filter_map(|line| line.split_once(" spans did not reach")?.0.rsplit(' ').next())
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    // A request, and its wait, run and collection.
    assert_eq!(lost, 3 * 4, "{log}");
}

#[test]
fn an_endpoint_that_is_not_a_url_is_refused() {
    let ended = call(&["serve", "--otlp", "localhost:4318"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("--otlp") && ended.err.contains("http://localhost:4318"));
    let mut command = unsandbox(&["serve"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@host");
    let ended: shell::Ended = command.output().unwrap().into();
    assert!(ended.code == 2 && ended.err.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{}", ended.err);
    assert!(!ended.err.contains("secret"), "{}", ended.err);
}
