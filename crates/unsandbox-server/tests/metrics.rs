// SPDX-License-Identifier: MIT OR Apache-2.0
//! The metrics of a server, counted for a known series of requests.

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use support::exposition::Exposition;
use support::{Fake, Reply, Running, execute_body, keyed, read_reply, request, start};
use unsandbox_protocol::Status;
use unsandbox_server::{Listen, ServerOptions};

const KEY: &str = "Authorization: Bearer the-secret-key\r\n";

fn post(server: &Running, path: &str, code: &str) -> Reply {
    server.call("POST", path, KEY, execute_body(code).as_bytes())
}

fn scrape(server: &Running) -> Exposition {
    let reply = server.call("GET", "/metrics", KEY, b"");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::read(&reply.body)
}

/// Submissions of each kind, and refusals.
fn series(server: &Running) {
    for code in ["the-secret-code", "the-secret-code", "exit 3", "timeout", "reduced"] {
        assert_eq!(post(server, "/execute", code).status, 200);
    }
    post(server, "/execute", "busy").refused(429, "rate_limit_exceeded");
    post(server, "/execute", "panic").refused(500, "internal");
    let id = post(server, "/execute/async", "hold").text("job_id");
    server.backend.wait_for(&Status::Running, 1);
    let path = format!("/jobs/{id}");
    assert_eq!(server.call("DELETE", &path, KEY, b"").text("status"), "cancelled");
    server.call("GET", "/jobs/the-secret-job", KEY, b"").refused(404, "not_found");
    server.call("GET", "/the-secret-path", KEY, b"").refused(404, "not_found");
    let wrong = r#"{"language":"the-secret-language","code":"x"}"#;
    server.call("POST", "/execute", KEY, wrong.as_bytes()).refused(400, "invalid_request");
    let other = "Authorization: Bearer the-secret-mistake\r\n";
    server.call("GET", "/jobs", other, b"").refused(401, "invalid_api_key");
    let mut failed = server.send("POST", "/execute", KEY, execute_body("fail").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    server.backend.release();
    read_reply(&mut failed).refused(500, "internal");
}

#[test]
fn a_series_of_requests_is_counted_exactly() {
    let server = start(keyed("the-secret-key"));
    series(&server);
    let read = scrape(&server);
    assert_eq!(
        read.samples("unsandbox_runs_total"),
        [
            "language=python,limit=none,mode=none,network=zerotrust,status=cancelled 1",
            "language=python,limit=none,mode=none,network=zerotrust,status=completed 4",
            "language=python,limit=none,mode=none,network=zerotrust,status=failed 1",
            "language=python,limit=wall,mode=none,network=zerotrust,status=timeout 1",
        ]
    );
    assert_eq!(
        read.samples("unsandbox_http_requests_total"),
        [
            "method=DELETE,path=/jobs/{id},status=200 1",
            "method=GET,path=/jobs,status=401 1",
            "method=GET,path=/jobs/{id},status=404 1",
            "method=GET,path=other,status=404 1",
            "method=POST,path=/execute,status=200 5",
            "method=POST,path=/execute,status=400 1",
            "method=POST,path=/execute,status=429 1",
            "method=POST,path=/execute,status=500 2",
            "method=POST,path=/execute/async,status=200 1",
        ]
    );
    assert_eq!(
        read.samples("unsandbox_http_refusals_total"),
        [
            "reason=internal 2",
            "reason=invalid_api_key 1",
            "reason=invalid_request 1",
            "reason=not_found 2",
            "reason=rate_limit_exceeded 1",
        ]
    );
    assert_eq!(read.samples("unsandbox_run_isolation_total"), ["level=reduced 1"]);
    assert_eq!(read.samples("unsandbox_run_layers_missing_total"), ["layer=other 1"]);
    assert_eq!(read.value("unsandbox_run_seconds_count", r#"mode="none""#), 7.0);
    assert_eq!(read.value("unsandbox_http_request_seconds_count", r#"path="/execute""#), 9.0);
    // Two texts of 15 bytes, "exit 3" is "exit 3", "timeout", "reduced"; the cancelled run wrote "partial".
    let out = 2 * "the-secret-code".len() + "exit 3".len() + "timeout".len() + "reduced".len();
    let out = (out + "partial".len()) as f64;
    assert_eq!(read.value("unsandbox_run_output_bytes_total", r#"stream="stdout""#), out);
    assert_eq!(read.value("unsandbox_run_output_bytes_total", r#"stream="stderr""#), 7.0);
    assert_eq!(read.value("unsandbox_connections", r#"stage="reply""#), 1.0, "the scrape itself");
    assert_eq!(read.value("unsandbox_draining", ""), 0.0);
}

#[test]
fn bytes_of_bodies_and_replies_are_counted() {
    let server = start(keyed("the-secret-key"));
    let body = execute_body("code");
    let reply = server.call("POST", "/execute", KEY, body.as_bytes());
    let read = scrape(&server);
    assert_eq!(read.value("unsandbox_http_received_bytes_total", ""), body.len() as f64);
    assert_eq!(read.value("unsandbox_http_sent_bytes_total", ""), reply.body.len() as f64);
}

#[test]
fn no_label_has_a_key_a_job_a_code_or_a_path_of_a_client() {
    let server = start(keyed("the-secret-key"));
    series(&server);
    let text = server.call("GET", "/metrics", KEY, b"").body;
    for secret in ["secret", "job-", "job_", "exit", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn a_repeated_submission_counts_once() {
    let server = start(keyed("the-secret-key"));
    let headers = format!("{KEY}Idempotency-Key: k\r\n");
    for _ in 0..3 {
        let body = execute_body("code");
        let reply = server.call("POST", "/execute", &headers, body.as_bytes());
        assert_eq!(reply.text("job_id"), "job-1");
    }
    let read = scrape(&server);
    assert_eq!(read.samples("unsandbox_runs_total").len(), 1);
    assert!(read.samples("unsandbox_runs_total")[0].ends_with(" 1"));
}

#[test]
fn a_client_that_leaves_is_counted_as_499() {
    let server = start(keyed("the-secret-key"));
    let left = server.send("POST", "/execute", KEY, execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    drop(left);
    let begun = Instant::now();
    let read = loop {
        let read = scrape(&server);
        let left = r#"method="POST",path="/execute",status="499""#;
        if read.value("unsandbox_http_requests_total", left) == 1.0
            && !read.samples("unsandbox_runs_total").is_empty()
        {
            break read;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{read:?}");
    };
    assert_eq!(
        read.samples("unsandbox_runs_total"),
        ["language=python,limit=none,mode=none,network=zerotrust,status=cancelled 1"]
    );
}

#[test]
fn metrics_need_a_key_except_at_an_address_of_their_own() {
    let alone = Listen::parse("127.0.0.1:0").unwrap();
    let options = ServerOptions { metrics_listen: Some(alone), ..keyed("the-secret-key") };
    let server = start(options);
    server.get("/metrics").refused(401, "invalid_api_key");
    server.execute("code").refused(401, "invalid_api_key");
    let host = server.metrics.as_deref().unwrap().strip_prefix("http://").unwrap().to_string();
    let ask = |method: &str, path: &str| {
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        stream.write_all(&request(&host, method, path, "", b"")).unwrap();
        read_reply(&mut stream)
    };
    let read = Exposition::read(&ask("GET", "/metrics").body);
    assert_eq!(read.samples("unsandbox_http_refusals_total"), ["reason=invalid_api_key 2"]);
    for path in ["/", "/health", "/jobs", "/execute"] {
        assert_eq!(ask("GET", path).status, 404, "{path}");
    }
    assert_eq!(ask("POST", "/metrics").status, 405);
    assert_eq!(server.backend.submissions(), 0);
}

#[test]
fn the_address_of_the_metrics_may_be_a_unix_socket_which_is_removed() {
    let path = std::env::temp_dir().join(format!("us-metrics-{}.sock", std::process::id()));
    let alone = Listen::Unix(path.clone());
    let mut server = start(ServerOptions { metrics_listen: Some(alone), ..keyed("a-key") });
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(&request("localhost", "GET", "/metrics", "", b"")).unwrap();
    let reply = read_reply(&mut stream);
    assert_eq!(Exposition::read(&reply.body).value("unsandbox_draining", ""), 0.0);
    server.stop.cancel();
    server.join();
    assert!(!path.exists());
}

#[test]
fn what_the_backend_measures_is_in_the_text() {
    let server = start(keyed("the-secret-key"));
    {
        let backend: &Fake = &server.backend;
        let mut condition = backend.condition.0.lock().unwrap();
        condition.queue(3, false);
        condition.store(true);
        condition.gauges.running = Some(2);
    }
    let read = scrape(&server);
    assert_eq!(read.samples("unsandbox_queue_length"), ["queue=engine 3"]);
    assert_eq!(read.value("unsandbox_running", ""), 2.0);
    assert!(read.kinds.contains_key("unsandbox_store_commit_seconds"));
}
