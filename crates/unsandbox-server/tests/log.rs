// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request log says what was asked and how it went, and never a secret.

mod support;

use log::{Log, Metadata, Record};
use std::sync::Mutex;
use support::{execute_body, keyed, start};
use unsandbox_protocol::Status;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keep;

impl Log for Keep {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {}", record.target(), record.args()));
    }
    fn flush(&self) {}
}

#[test]
fn one_line_a_request_without_keys_bodies_and_queries() {
    log::set_logger(&Keep).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let mut server = start(keyed("the-secret-key"));
    let headers = "Authorization: Bearer the-secret-key\r\nIdempotency-Key: the-idempotency-key\r\nX-Request-Id: the-id\r\n";
    let body = execute_body("the-secret-code");
    assert_eq!(
        server.call("POST", "/execute?q=the-secret-query", headers, body.as_bytes()).status,
        200
    );
    let refused =
        server.call("GET", "/jobs/a%0Ab", "Authorization: Bearer a-wrong-secret\r\n", b"");
    let hold = execute_body("hold");
    let left = server.send(
        "POST",
        "/execute",
        "Authorization: Bearer the-secret-key\r\n",
        hold.as_bytes(),
    );
    server.backend.wait_for_accepted(2);
    drop(left);
    server.backend.wait_for(&Status::Cancelled, 1);
    server.stop.cancel();
    server.join();
    let lines = LINES.lock().unwrap();
    let requests: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("unsandbox::request ")).collect();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests[0].contains("POST /execute 200 "), "{}", requests[0]);
    let (counts, told) = requests[0].split_once(" from ").unwrap();
    let label = counts.rsplit(' ').next().unwrap();
    assert!(label.len() == 8 && label.bytes().all(|b| b.is_ascii_hexdigit()), "{}", requests[0]);
    assert_eq!(told, "127.0.0.1 job job-1 python request the-id");
    let made = refused.header("x-request-id").unwrap();
    assert!(requests[1].ends_with(&format!(" - from 127.0.0.1 request {made}")), "{}", requests[1]);
    assert!(requests[1].contains("GET /jobs/a%0Ab 401 "), "{}", requests[1]);
    assert!(requests[2].contains("POST /execute 499 "), "its client left: {}", requests[2]);
    let abandoned = format!("{label} from 127.0.0.1 job job-2 python request ");
    assert!(requests[2].contains(&abandoned), "{}", requests[2]);
    for line in lines.iter() {
        assert!(!line.contains("secret") && !line.contains("the-idempotency"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}
