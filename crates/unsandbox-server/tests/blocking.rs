// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend whose submissions or questions about jobs block: one that prepares large runs, or asks another server.

mod support;

use std::time::{Duration, Instant};
use support::{execute_body, keyed, read_reply, start};
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

const A: &str = "Authorization: Bearer a\r\n";
const B: &str = "Authorization: Bearer b\r\n";

#[test]
fn submissions_that_block_hold_up_nothing_else() {
    let server = start(keyed("a,b"));
    server.backend.slow.close();
    let body = execute_body("slow");
    let send = |number: usize| {
        let path = ["/execute", "/execute/async"][number % 2];
        server.send("POST", path, A, body.as_bytes())
    };
    let mut slow: Vec<_> = (0..MANY).map(send).collect();
    server.backend.slow.wait_for(2);
    let begun = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.call("GET", "/jobs", A, b"").status, 200);
    for text in ["small".to_string(), "x".repeat(200_000)] {
        let reply = server.call("POST", "/execute", B, execute_body(&text).as_bytes());
        assert_eq!(reply.text("stdout"), text, "another key does not wait");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.backend.slow.open();
    for stream in &mut slow {
        assert_eq!(read_reply(&mut **stream).status, 200);
    }
    assert_eq!(server.backend.submissions(), MANY + 2);
}

#[test]
fn a_server_stops_while_submissions_block_and_answers_those_that_wait() {
    let grace = Duration::ZERO;
    let mut server = start(ServerOptions { grace, ..ServerOptions::default() });
    server.backend.slow.close();
    let body = execute_body("slow");
    let mut slow: Vec<_> =
        (0..MANY).map(|_| server.send("POST", "/execute", "", body.as_bytes())).collect();
    server.backend.slow.wait_for(2);
    // Answered after all of them were read: they were sent before it.
    assert_eq!(server.get("/health").status, 200);
    let begun = Instant::now();
    server.stop.cancel();
    server.join();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let blocked = server.backend.slow.wait_for(2);
    server.backend.slow.open();
    let answers = slow.iter_mut().map(|stream| {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    });
    let told = answers.filter(|text| text.contains("503") && text.contains("stopping")).count();
    assert!(told >= MANY - blocked, "{told} of {MANY}, {blocked} blocked");
}

#[test]
fn a_submission_whose_client_left_before_its_turn_is_not_handed_over() {
    let server = start(ServerOptions::default());
    server.backend.slow.close();
    let body = execute_body("slow");
    let mut slow: Vec<_> =
        (0..MANY).map(|_| server.send("POST", "/execute", "", body.as_bytes())).collect();
    server.backend.slow.wait_for(2);
    let waits = |count: usize| (0..count).map(|_| server.get("/health").status).all(|it| it == 200);
    assert!(waits(5));
    slow.clear();
    // The server sees an end of a connection before it accepts further ones.
    std::thread::sleep(Duration::from_millis(500));
    assert!(waits(5));
    let blocked = server.backend.slow.wait_for(2);
    server.backend.slow.open();
    assert_eq!(server.execute("after").text("stdout"), "after");
    assert_eq!(server.backend.slow.wait_for(2), blocked);
    assert!(blocked < MANY, "{blocked}");
}
