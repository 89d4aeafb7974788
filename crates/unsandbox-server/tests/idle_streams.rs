// SPDX-License-Identifier: MIT OR Apache-2.0
//! What streams of events cost while nothing happens. Alone in its process, whose memory it measures.

mod support;

use support::{Wire, execute_body, start};
use unsandbox_server::ServerOptions;

/// Of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_thousand_idle_streams_take_little_memory() {
    let server = start(ServerOptions::default());
    let body = execute_body("hold");
    let id = server.call("POST", "/execute/async", "", body.as_bytes()).text("job_id");
    let before = resident();
    let path = format!("/jobs/{id}/events");
    let streams: Vec<Box<dyn Wire>> = (0..1000)
        .map(|_| {
            let mut stream = server.send("GET", &path, "", b"");
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    server.backend.wait_for_sinks(&id, 1000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 60 << 20, "{grown} bytes");
    drop(streams);
}
