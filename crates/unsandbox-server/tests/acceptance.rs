// SPDX-License-Identifier: MIT OR Apache-2.0
//! A backend that answers a submission late, as one that writes it to a disk first.

mod support;

use support::{execute_body, read_reply, start};
use unsandbox_server::ServerOptions;

const KEY: &str = "Idempotency-Key: k\r\n";

#[test]
fn a_job_is_told_when_it_is_accepted_and_once_for_its_key() {
    let server = start(ServerOptions::default());
    let send = |path: &str, headers: &str| {
        server.send("POST", path, headers, execute_body("late").as_bytes())
    };
    let mut jobs = [send("/execute/async", KEY), send("/execute/async", KEY)];
    let mut run = send("/execute", "");
    // Nothing waits for the backend but these.
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.execute("another").text("stdout"), "another");
    assert_eq!(server.backend.submissions(), 1);
    server.backend.decide.open();
    let [first, second] = jobs.each_mut().map(|stream| read_reply(&mut **stream));
    assert_eq!((first.status, first.text("job_id")), (200, second.text("job_id")));
    assert_eq!(read_reply(&mut *run).text("stdout"), "late");
    assert_eq!(server.backend.submissions(), 3);
}

#[test]
fn a_late_refusal_leaves_the_key_free() {
    let server = start(ServerOptions::default());
    let body = execute_body("late refusal");
    let mut replies = [KEY, KEY].map(|key| server.send("POST", "/execute", key, body.as_bytes()));
    server.backend.decide.open();
    for stream in &mut replies {
        read_reply(&mut **stream).refused(429, "rate_limit_exceeded");
    }
    let again = server.call("POST", "/execute", KEY, execute_body("fine").as_bytes());
    assert_eq!((again.status, again.text("stdout")), (200, "fine".to_string()));
}
