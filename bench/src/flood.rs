// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the flood of one key costs another: one submits a thousand long jobs, the other sends short programs, with and
//! without a place reserved for it.

use crate::server::{Connection, Served};
use crate::{in_ms, quantile};
use std::path::Path;
use std::time::{Duration, Instant};

/// Programs at once.
const PLACES: &str = "4";
const FLOOD: usize = 1_000;
/// How long each job of the flood runs, which is how long a place is taken.
const JOB: Duration = Duration::from_secs(1);
const HELLOS: usize = 30;

pub fn measure(directory: &Path) {
    let limits = directory.join("limits.toml");
    // The digest of "b".
    let key = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
    std::fs::write(&limits, format!("[key.\"{key}\"]\nreserved = 1\n")).expect("a file");
    let limits = limits.to_str().expect("a plain path");
    let by_turns = JOB.mul_f64(1.5);
    hellos(directory, "hello beside a flood", &[], by_turns);
    let reserved = ["--key-limits", limits];
    hellos(directory, "the same, one place reserved", &reserved, Duration::from_millis(50));
}

fn hellos(directory: &Path, what: &str, more: &[&str], floor: Duration) {
    let args = [&["--concurrency", PLACES], more].concat();
    let server = Served::start_with_keys(directory, &args, "a,b");
    let mut flood = Connection::open(&server.host);
    let code = format!("sleep {}", JOB.as_secs_f64());
    let body = format!(r#"{{"language":"bash","code":"{code}"}}"#);
    for _ in 0..FLOOD {
        assert_eq!(flood.call(&post("a", "/execute/async", &body)).0, 200);
    }
    let mut connection = Connection::open(&server.host);
    let hello = post("b", "/execute", r#"{"language":"bash","code":"echo hello"}"#);
    let mut times = Vec::new();
    for _ in 0..HELLOS {
        let begun = Instant::now();
        assert_eq!(connection.call(&hello).0, 200);
        times.push(begun.elapsed());
    }
    let (half, most) = (quantile(&mut times, 0.5), quantile(&mut times, 0.95));
    let missed = if most > floor {
        format!("  MISSED: the floor is {}", in_ms(floor))
    } else {
        String::new()
    };
    println!("{what:30} p50 {:>10}  p95 {:>10}{missed}", in_ms(half), in_ms(most));
}

fn post(key: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
