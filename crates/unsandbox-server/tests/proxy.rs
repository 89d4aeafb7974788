// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients behind a proxy: parties of their own if the operator trusts the proxy, and one party if not.

#[path = "support/http2.rs"]
mod http2;
mod support;

use support::{Running, execute_body, start, start_at};
use unsandbox_protocol::Status;
use unsandbox_server::{ServerOptions, TrustedProxies};

fn trusting(words: &[&str]) -> ServerOptions {
    let trusted_proxies = TrustedProxies::parse(words.iter().copied()).unwrap();
    ServerOptions { connections: 16, trusted_proxies, ..ServerOptions::default() }
}

/// With 16 places a party alone has 12 runs. The status of a run of another client behind the same proxy then.
fn second_client(server: &Running) -> u16 {
    let of = |client: &str| format!("X-Forwarded-For: 203.0.113.9, {client}\r\n");
    let body = execute_body("hold");
    let _held: Vec<_> = (0..12)
        .map(|_| server.send("POST", "/execute", &of("192.0.2.1"), body.as_bytes()))
        .collect();
    server.backend.wait_for(&Status::Running, 12);
    server
        .call("POST", "/execute", &of("192.0.2.1"), body.as_bytes())
        .refused(429, "rate_limit_exceeded");
    let other = execute_body("heard");
    let status = server.call("POST", "/execute", &of("192.0.2.2"), other.as_bytes()).status;
    server.backend.release();
    status
}

#[test]
fn clients_of_a_trusted_proxy_are_parties() {
    assert_eq!(second_client(&start(trusting(&["127.0.0.0/8"]))), 200);
    let path = std::env::temp_dir().join(format!("us-proxy-{}", std::process::id()));
    let listen = format!("unix:{}", path.display());
    assert_eq!(second_client(&start_at(&listen, trusting(&["unix"]))), 200);
}

#[test]
fn the_word_of_anyone_else_counts_for_nothing() {
    assert_eq!(second_client(&start(trusting(&["192.0.2.200", "unix"]))), 429);
}

#[test]
fn streams_of_one_connection_of_a_proxy_are_of_their_clients() {
    let server = start(trusting(&["127.0.0.1"]));
    http2::runtime().block_on(async {
        let connection = http2::connect(&server).await;
        let body = execute_body("hold");
        let mut held = Vec::new();
        for _ in 0..12 {
            let first = "x-forwarded-for: 192.0.2.1";
            held.push(connection.send("POST", "/execute", first, &body).await.unwrap());
        }
        server.backend.wait_for(&Status::Running, 12);
        let refused = connection.execute("x-forwarded-for: 192.0.2.1", "refused").await;
        refused.refused(429, "rate_limit_exceeded");
        let other = connection.execute("x-forwarded-for: 192.0.2.2", "heard").await;
        assert_eq!(other.text("stdout"), "heard");
        server.backend.release();
    });
}

/// Bodies that never come have all places, and more of them wait; all are of one client.
#[test]
fn a_request_on_a_connection_of_a_proxy_waits_in_the_turn_of_its_client() {
    let server = start(trusting(&["127.0.0.1"]));
    http2::runtime().block_on(async {
        let connection = http2::connect(&server).await;
        let mut bodies = Vec::new();
        for _ in 0..90 {
            let first = "x-forwarded-for: 192.0.2.1";
            bodies.push(connection.begin("POST", "/execute", first, true).await.unwrap());
        }
        let other = connection.execute("x-forwarded-for: 192.0.2.2", "heard").await;
        assert_eq!(other.text("stdout"), "heard");
    });
}
