// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connections that go, keys that come twice, crowds that wait, and the end of a server.

mod support;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::{Running, TEST_TIMEOUT, Wire, execute_body, keyed, read_reply, request, start};
use unsandbox_protocol::Status;
use unsandbox_server::ServerOptions;

fn with_key(server: &Running, key: &str, path: &str, code: &str) -> support::Reply {
    let headers = format!("Idempotency-Key: {key}\r\n");
    server.call("POST", path, &headers, execute_body(code).as_bytes())
}

#[test]
fn a_run_is_cancelled_when_its_connection_closes() {
    let server = start(ServerOptions::default());
    let stream = server.send("POST", "/execute", "", execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    drop(stream);
    server.backend.wait_for(&Status::Cancelled, 1);
}

#[test]
fn an_asynchronous_job_outlives_its_connection() {
    let server = start(ServerOptions::default());
    let id = server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    assert_eq!(server.get(&format!("/jobs/{}", id.text("job_id"))).text("status"), "running");
}

#[test]
fn a_key_that_comes_twice_is_one_run() {
    let server = start(ServerOptions::default());
    let first = with_key(&server, "k1", "/execute", "once");
    let second = with_key(&server, "k1", "/execute", "once");
    assert_eq!((second.status, &second.body), (200, &first.body));
    with_key(&server, "k1", "/execute", "other").refused(409, "conflict");
    let first = with_key(&server, "k2", "/execute/async", "hold");
    let second = with_key(&server, "k2", "/execute/async", "hold");
    assert_eq!(second.text("job_id"), first.text("job_id"));
    assert_eq!(server.backend.submissions(), 2);
    with_key(&server, &"k".repeat(256), "/execute", "x").refused(400, "invalid_request");
}

#[test]
fn a_finished_job_that_is_submitted_again_comes_with_its_result() {
    let server = start(ServerOptions::default());
    assert_eq!(with_key(&server, "k", "/execute/async", "done").text("status"), "pending");
    let again = with_key(&server, "k", "/execute/async", "done");
    assert_eq!(
        (again.text("status").as_str(), again.text("stdout").as_str()),
        ("completed", "done")
    );
    assert_eq!(again.text("job_id"), "job-1");
}

/// Whether a client has left or only ended its sending side cannot be told: it has to keep it open.
#[test]
fn a_client_that_ends_its_sending_side_has_left() {
    let server = start(ServerOptions::default());
    let mut stream = std::net::TcpStream::connect(server.host()).unwrap();
    let body = execute_body("hold");
    let bytes = request(server.host(), "POST", "/execute", "", body.as_bytes());
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    server.backend.wait_for(&Status::Running, 1);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    server.backend.wait_for(&Status::Cancelled, 1);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn a_refused_submission_may_be_tried_again() {
    let server = start(ServerOptions::default());
    with_key(&server, "k", "/execute", "busy").refused(429, "rate_limit_exceeded");
    assert_eq!(with_key(&server, "k", "/execute", "fine").status, 200);
}

#[test]
fn a_retry_takes_up_the_run_that_it_lost() {
    let retry_window = Duration::from_millis(300);
    let server = start(ServerOptions { retry_window, ..ServerOptions::default() });
    let send = || {
        let body = execute_body("hold");
        server.send("POST", "/execute", "Idempotency-Key: k\r\n", body.as_bytes())
    };
    let lost = send();
    server.backend.wait_for(&Status::Running, 1);
    drop(lost);
    let mut retry = send();
    // Longer than the reprieve: what keeps the run alive is the retry.
    std::thread::sleep(2 * retry_window);
    server.backend.release();
    assert_eq!(read_reply(&mut retry).text("status"), "completed");
    assert_eq!(server.backend.submissions(), 1);
    // Nobody comes back for this one.
    let body = execute_body("hold");
    let abandoned = server.send("POST", "/execute", "Idempotency-Key: k3\r\n", body.as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    drop(abandoned);
    server.backend.wait_for(&Status::Cancelled, 1);
}

#[test]
fn a_run_that_ends_after_its_client_has_left_is_not_run_again() {
    let retry_window = Duration::from_millis(300);
    let server = start(ServerOptions { retry_window, ..ServerOptions::default() });
    let body = execute_body("hold");
    let lost = server.send("POST", "/execute", "Idempotency-Key: k\r\n", body.as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    drop(lost);
    // The server sees that its client is gone, and then the end.
    std::thread::sleep(retry_window / 3);
    server.backend.release();
    server.backend.wait_for(&Status::Completed, 1);
    std::thread::sleep(2 * retry_window);
    assert_eq!(with_key(&server, "k", "/execute", "hold").text("status"), "completed");
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_thousand_waiting_requests_need_no_thousand_threads() {
    let server = start(ServerOptions::default());
    let bytes = request(server.host(), "POST", "/execute", "", execute_body("hold").as_bytes());
    let mut streams: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    server.backend.wait_for(&Status::Running, 1000);
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 60, "{threads} threads for 1000 waiting requests");
    server.backend.release();
    for stream in &mut streams {
        assert_eq!(read_reply(stream).status, 200);
    }
}

#[test]
fn a_stop_lets_a_run_end_within_its_grace() {
    let mut server = start(ServerOptions { grace: Duration::from_secs(60), ..Default::default() });
    let mut waiting = server.send("POST", "/execute", "", execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    let id = server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    let job = format!("/jobs/{}", id.text("job_id"));
    server.stop.cancel();
    let deadline = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let reply = server.execute("more work");
        if reply.status != 200 {
            break reply;
        }
        assert!(Instant::now() < deadline, "the server still takes work");
    };
    refused.refused(503, "stopping");
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert_eq!(server.get(&job).text("status"), "running", "jobs are still answered for");
    server.backend.release();
    assert_eq!(read_reply(&mut waiting).text("status"), "completed");
    assert_eq!(server.get(&job).text("status"), "completed", "and their results are given");
    server.join();
}

#[test]
fn after_the_grace_runs_are_cancelled_and_their_clients_told() {
    let mut server = start(ServerOptions { grace: Duration::ZERO, ..Default::default() });
    let mut waiting = server.send("POST", "/execute", "", execute_body("hold").as_bytes());
    server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 2);
    server.stop.cancel();
    let reply = read_reply(&mut waiting);
    assert_eq!((reply.status, reply.text("status").as_str()), (200, "cancelled"));
    assert!(reply.text("error").contains("was stopped"), "{}", reply.body);
    server.join();
    server.backend.wait_for(&Status::Cancelled, 2);
}

#[test]
fn a_hurried_stop_does_not_wait_for_the_grace() {
    let mut server = start(ServerOptions { grace: Duration::from_secs(600), ..Default::default() });
    server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    let began = Instant::now();
    server.stop.cancel();
    server.stop_now.cancel();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn an_idle_server_stops_at_once() {
    let mut server = start(ServerOptions { grace: Duration::from_secs(600), ..Default::default() });
    let mut kept_alive = server.connect();
    let bytes = request(server.host(), "GET", "/health", "", b"");
    let bytes = String::from_utf8(bytes).unwrap().replace("Connection: close\r\n", "");
    kept_alive.write_all(bytes.as_bytes()).unwrap();
    kept_alive.read_exact(&mut [0; 12]).unwrap();
    let _unused = server.connect();
    server.get("/health");
    let began = Instant::now();
    server.stop.cancel();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn slow_and_silent_clients_are_given_up() {
    let read_timeout = Duration::from_millis(200);
    let server = start(ServerOptions { read_timeout, ..Default::default() });
    for silent in ["", "POST /execute HTT"] {
        let mut stream = server.connect();
        stream.write_all(silent.as_bytes()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "closed without a word");
    }
    let mut stream = server.connect();
    let head = "POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).unwrap();
    read_reply(&mut stream).refused(408, "request_timeout");
    // The first head has a shorter time of its own.
    let hasty = ServerOptions { first_head: read_timeout, ..Default::default() };
    let strict = start(hasty);
    let mut stream = strict.connect();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    // Patience is for sending: a run may take longer.
    let mut waiting = server.send("POST", "/execute", "", execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    std::thread::sleep(2 * read_timeout);
    server.backend.release();
    assert_eq!(read_reply(&mut waiting).status, 200);
}

/// A run that failed for a reason of ours: an error for who submitted it, and a job for everyone else.
#[test]
fn a_failed_run_is_one_answer_everywhere() {
    let server = start(ServerOptions::default());
    let send = || {
        let body = execute_body("fail");
        server.send("POST", "/execute", "Idempotency-Key: f\r\n", body.as_bytes())
    };
    let mut submitter = send();
    server.backend.wait_for(&Status::Running, 1);
    let mut watcher = server.send("GET", "/jobs/job-1?wait=30", "", b"");
    let mut repeated = send();
    server.backend.wait_for_sinks("job-1", 3);
    server.backend.release();
    let refused = read_reply(&mut submitter);
    refused.refused(500, "internal");
    assert_eq!(refused.text("job_id"), "job-1");
    let later = server.get("/jobs/job-1");
    let cancelled = server.call("DELETE", "/jobs/job-1", "", b"");
    let again = with_key(&server, "f", "/execute", "fail");
    for reply in [later, cancelled, again, read_reply(&mut watcher), read_reply(&mut repeated)] {
        let shown = (reply.status, reply.text("status"), reply.json()["exit_code"].as_i64());
        assert_eq!(shown, (200, "failed".to_string(), Some(-1)), "{}", reply.body);
    }
}

#[test]
fn watchers_that_went_leave_no_trail() {
    let server = start(ServerOptions::default());
    server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    for _ in 0..3 {
        assert_eq!(server.get("/jobs/job-1?wait=1").text("status"), "running");
    }
    assert_eq!(server.backend.sinks("job-1"), 2, "the submission and the last that watched");
}

#[test]
fn a_full_house_has_room_for_who_speaks() {
    let server = start(ServerOptions { connections: 3, ..ServerOptions::default() });
    let mut silent: Vec<_> = (0..6).map(|_| server.connect()).collect();
    assert_eq!(server.execute("heard").text("stdout"), "heard");
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "the oldest had to go");
}

/// Sends a request and reads its reply, on a connection that stays.
fn ask(stream: &mut dyn Wire, headers: &str) {
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\"}") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
    }
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
}

const KEY: &str = "Authorization: Bearer the-key\r\n";

#[test]
fn strangers_that_ask_and_stay_keep_nobody_out() {
    let options = ServerOptions { connections: 4, ..keyed("the-key") };
    let server = start(options);
    let mut running = server.send("POST", "/execute", KEY, execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    let mut strangers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for stranger in &mut strangers {
        ask(stranger.as_mut(), "");
    }
    let began = Instant::now();
    let reply = server.call("POST", "/execute", KEY, execute_body("heard").as_bytes());
    assert_eq!(reply.text("stdout"), "heard");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // Which one was quiet longest, only the server knows: a client may read a reply before its connection counts as idle.
    let (sender, closed) = channel();
    for mut stranger in strangers {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let read = stranger.read_to_end(&mut rest).map(|_| rest);
            let _ = sender.send(read);
        });
    }
    let rest = closed.recv_timeout(TEST_TIMEOUT).expect("one of them had to go").unwrap();
    assert_eq!(rest, b"");
    server.backend.release();
    assert_eq!(read_reply(&mut running).text("status"), "completed", "a caller that waits stays");
}

#[test]
fn a_refused_request_whose_body_never_comes_keeps_nobody_out() {
    let options = ServerOptions { connections: 2, ..keyed("the-key") };
    let server = start(options);
    let head = "POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
    let _strangers: Vec<_> = (0..2)
        .map(|_| {
            let mut stranger = server.connect();
            stranger.write_all(head.as_bytes()).unwrap();
            stranger
        })
        .collect();
    let began = Instant::now();
    let reply = server.call("POST", "/execute", KEY, execute_body("heard").as_bytes());
    assert_eq!(reply.text("stdout"), "heard");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
