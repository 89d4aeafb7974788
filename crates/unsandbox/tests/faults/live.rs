// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of a stream of events: the output of a program that comes while it runs.

use crate::stub::{Play, Stub, json, with};
use crate::table::{Outcome, Row, end_of};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use unsandbox::{CallOptions, Request};

const FEATURES: &str =
    "X-Unsandbox-Features: run-json, idempotency=process:0123456789abcdef, wait, events";
const WITHOUT_STORE: &str = "X-Unsandbox-Features: run-json, wait, events";
const QUEUED: &str = "event: queued\nid: 0-0\ndata: {\"job_id\":\"j\",\"status\":\"pending\"}\n\n";
const OUTPUT: &str = "event: stdout\nid: 3-0\ndata: {\"offset\":0,\"text\":\"one\"}\n\n";
const FINISHED: &str = "event: finished\nid: 3-0\ndata: {\"job_id\":\"j\",\"status\":\"completed\",\
                        \"result\":{\"success\":true,\"stdout\":\"one\",\"exit_code\":0}}\n\n";
const BUSY: &str = "event: error\nid: 0-0\ndata: {\"error\":\"busy\",\"message\":\"no room\",\
                    \"job_id\":\"j\",\"http_status\":503,\"retry_after_ms\":100}\n\n";
const FAILED: &str = "event: error\nid: 0-0\ndata: {\"error\":\"internal\",\"message\":\"broken\",\
                      \"http_status\":500}\n\n";

pub fn rows() -> Vec<Row> {
    vec![
        Row::own("a stream that is cut within an event", "answered; 2", || {
            run(FEATURES, None, |turn| match turn {
                0 => streamed(&[QUEUED, OUTPUT, "event: std"]),
                _ => streamed(&[QUEUED, FINISHED]),
            })
        }),
        Row::own("a stream that is cut again and again, with new output each time", "answered; 7", || {
            run(FEATURES, None, |turn| match turn {
                0..6 => streamed(&[&format!(
                    "event: stdout\ndata: {{\"offset\":{turn},\"text\":\"x\"}}\n\n"
                )]),
                _ => streamed(&[FINISHED]),
            })
        }),
        Row::own(
            "a stream that ends without its last event, each time",
            "CONNECT, may have run; 4",
            || run(FEATURES, None, |_| streamed(&[QUEUED, OUTPUT])),
        ),
        Row::own("the same, where no keys are remembered", "CONNECT, may have run; 1", || {
            run(WITHOUT_STORE, None, |_| streamed(&[QUEUED, OUTPUT]))
        }),
        Row::own("a refusal as an event, and then the result", "answered; 2", || {
            run(FEATURES, None, |turn| match turn {
                0 => streamed(&[QUEUED, BUSY]),
                _ => streamed(&[QUEUED, OUTPUT, FINISHED]),
            })
        }),
        Row::own("an error as an event, where no keys are remembered", "SERVER, may have run; 1", || {
            run(WITHOUT_STORE, None, |_| streamed(&[QUEUED, FAILED]))
        }),
        Row::own("an event that is not JSON", "PROTOCOL, may have run; 1", || {
            run(FEATURES, None, |_| streamed(&[QUEUED, "event: stdout\ndata: [\n\n"]))
        }),
        Row::own("an event over the limit of a reply", "TOO_LARGE, may have run; 1", || {
            run(FEATURES, None, |_| streamed(&[QUEUED, "event: stdout\ndata: ", &"x".repeat(100_000)]))
        }),
        Row::own("a stream on which nothing comes, until the deadline", "TIMEOUT, may have run; 1", || {
            run(FEATURES, Some(Duration::from_millis(300)), |_| {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n{FEATURES}\r\n\r\n"
                );
                Play::Stall([head.as_str(), QUEUED].concat().into_bytes())
            })
        })
        .within(400),
        Row::own("a result in place of a stream", "answered; 1", || {
            run(FEATURES, None, |_| json(200, r#"{"success":true,"stdout":"one"}"#))
        }),
    ]
}

fn streamed(parts: &[&str]) -> Play {
    let kind = vec!["Content-Type: text/event-stream".to_string()];
    Play::Answer(200, kind, parts.concat().into_bytes())
}

/// A run whose output is wanted, at a server that answers each attempt so.
fn run(features: &'static str, deadline: Option<Duration>, play: fn(usize) -> Play) -> Outcome {
    let turns = AtomicUsize::new(0);
    let stub = Stub::start_whole(move |asked| match asked.method.as_str() {
        "POST" => with(play(turns.fetch_add(1, Ordering::SeqCst)), features),
        _ => with(json(200, "{}"), features),
    });
    let client = crate::stub::builder(&stub).reply_max_bytes(50_000).build().unwrap();
    let mut options = CallOptions::new().on_output(|_, _| {});
    options.deadline = deadline;
    let end = client.with(options).execute(&Request::new("python", "print(1)"));
    let posts: Vec<_> = stub.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    let keys: HashSet<_> = posts.iter().map(|asked| asked.header("idempotency-key")).collect();
    Outcome { end: end_of(&end), submissions: posts.len(), runs: keys.len() }
}
