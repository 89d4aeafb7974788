// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend whose questions about jobs block, as one that asks another server.

mod support;

use std::time::{Duration, Instant};
use support::{execute_body, read_reply, start};
use unsandbox_server::ServerOptions;

/// More than the event loop has threads, and more than there are beside it.
const MANY: usize = 40;

#[test]
fn questions_that_block_hold_up_nothing_else() {
    let server = start(ServerOptions::default());
    assert_eq!(server.execute("first").status, 200);
    server.backend.questions.close();
    let ask = |number: usize| {
        let path = ["/jobs/job-1", "/jobs", "/jobs/job-1?wait=1"][number % 3];
        server.send("GET", path, "", b"")
    };
    let mut asked: Vec<_> = (0..MANY).map(ask).collect();
    server.backend.questions.wait_for(2);
    let begun = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.execute("second").text("stdout"), "second");
    assert_eq!(server.get("/languages").status, 200);
    let large = "x".repeat(200_000);
    assert_eq!(server.execute(&large).text("stdout"), large, "work that grows has its turn");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.backend.questions.open();
    for stream in &mut asked {
        assert_eq!(read_reply(&mut **stream).status, 200);
    }
}

#[test]
fn a_repeated_submission_asks_for_its_job_beside_the_event_loop() {
    let server = start(ServerOptions::default());
    let headers = "Idempotency-Key: k\r\n";
    let body = execute_body("done");
    let first = server.call("POST", "/execute/async", headers, body.as_bytes());
    server.backend.questions.close();
    let send = |_| server.send("POST", "/execute/async", headers, body.as_bytes());
    let mut again: Vec<_> = (0..4).map(send).collect();
    server.backend.questions.wait_for(2);
    let begun = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.backend.questions.open();
    for stream in &mut again {
        assert_eq!(read_reply(&mut **stream).text("job_id"), first.text("job_id"));
    }
}

#[test]
fn questions_about_the_server_that_block_hold_up_no_execution() {
    let server = start(ServerOptions::default());
    server.backend.itself.close();
    let ask = |number: usize| match number % 2 {
        0 => server.send("GET", "/health", "", b""),
        _ => server.send("POST", "/keys/validate", "", b"{}"),
    };
    let mut asked: Vec<_> = (0..MANY).map(ask).collect();
    server.backend.itself.wait_for(2);
    let begun = Instant::now();
    let large = "x".repeat(200_000);
    assert_eq!(server.execute(&large).text("stdout"), large);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.backend.itself.open();
    for stream in &mut asked {
        assert_eq!(read_reply(&mut **stream).status, 200);
    }
}
