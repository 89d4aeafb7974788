// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store that remembers idempotency keys: its name, and keys that name one.

mod support;

use std::collections::HashSet;
use support::{Reply, Running, execute_body, read_reply, start};
use unsandbox_protocol::Status;
use unsandbox_protocol::wire::{FEATURES_HEADER, key_in_store};
use unsandbox_server::ServerOptions;

/// The name in the header of a reply.
fn store(reply: &Reply) -> String {
    let line = reply.head.lines().find(|line| line.starts_with(FEATURES_HEADER)).unwrap();
    let name = line.split_once("idempotency=").unwrap().1.split(',').next();
    name.unwrap().to_string()
}

fn headers(key: &str, store: &str) -> String {
    format!("Idempotency-Key: {}\r\n", key_in_store(store, key))
}

fn named(server: &Running, path: &str, key: &str, store: &str) -> Reply {
    server.call("POST", path, &headers(key, store), execute_body("code").as_bytes())
}

#[test]
fn every_reply_names_the_store_and_no_two_servers_have_the_same() {
    let servers: Vec<_> = (0..3).map(|_| start(ServerOptions::default())).collect();
    let names: HashSet<_> = servers
        .iter()
        .map(|server| {
            let (health, refused) = (server.get("/health"), server.get("/nothing"));
            assert_eq!(
                (store(&refused), health.text("idempotency")),
                (store(&health), store(&health))
            );
            let digits = store(&health).strip_prefix("process:").unwrap().to_string();
            assert!(
                digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
                "{digits}"
            );
            let words = "x-unsandbox-features: run-json, idempotency=process:";
            assert!(
                health.head.contains(words) && health.head.contains(", wait, events, delete\r\n")
            );
            digits
        })
        .collect();
    assert_eq!(names.len(), servers.len());
}

#[test]
fn a_key_that_names_another_store_is_refused_and_nothing_runs() {
    let (server, other) = (start(ServerOptions::default()), start(ServerOptions::default()));
    let own = store(&server.get("/health"));
    let foreign = store(&other.get("/health"));
    for path in ["/execute", "/execute/async", "/run", "/run/async"] {
        for name in [foreign.as_str(), "process:", "database:1", &own[..own.len() - 1]] {
            let reply = named(&server, path, "k", name);
            assert_eq!(
                (reply.status, reply.text("error")),
                (412, "idempotency_store_changed".into())
            );
            assert_eq!(store(&reply), own, "the refusal names the store that will do");
        }
    }
    assert_eq!(server.backend.submissions(), 0);
    assert_eq!(named(&server, "/execute", "k", &own).text("stdout"), "code");
    assert_eq!(named(&server, "/execute", "k", &own).text("job_id"), "job-1");
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_late_repetition_of_a_deleted_run_is_refused() {
    let server = start(ServerOptions::default());
    let own = store(&server.get("/health"));
    let id = named(&server, "/execute", "k", &own).text("job_id");
    assert_eq!(server.call("DELETE", &format!("/jobs/{id}/record"), "", b"").status, 200);
    let refused = named(&server, "/execute", "k", &own);
    assert!(refused.refused(409, "conflict").contains(&id));
    assert_eq!(store(&refused), own, "all other keys are as good as before");
    assert_eq!(named(&server, "/execute", "other", &own).status, 200);
    assert_eq!(server.backend.submissions(), 2);
}

#[test]
fn a_key_without_a_store_is_taken() {
    let server = start(ServerOptions::default());
    for (count, key) in ["k", "urn:uuid:0a", "order/1", "q83v/w=="].into_iter().enumerate() {
        for _ in 0..2 {
            let header = format!("Idempotency-Key: {key}\r\n");
            let reply = server.call("POST", "/execute", &header, execute_body("code").as_bytes());
            assert_eq!(reply.text("job_id"), format!("job-{}", count + 1), "{key}");
        }
    }
}

#[test]
fn a_stopping_server_says_so_and_answers_for_what_it_has_taken() {
    let grace = std::time::Duration::from_secs(60);
    let mut server = start(ServerOptions { grace, ..ServerOptions::default() });
    let own = store(&server.get("/health"));
    let send = |key: &str| {
        let body = execute_body("hold");
        server.send("POST", "/execute", &headers(key, &own), body.as_bytes())
    };
    let mut first = send("k");
    server.backend.wait_for(&Status::Running, 1);
    server.stop.cancel();
    let health = loop {
        let health = server.get("/health");
        if health.status != 200 {
            break health;
        }
    };
    health.refused(503, "stopping");
    let words = (health.text("status"), health.text("idempotency"));
    assert_eq!(words, ("stopping".to_string(), own.clone()));
    let refused = read_reply(&mut send("another"));
    refused.refused(503, "stopping");
    assert!(refused.head.contains("connection: close"), "{}", refused.head);
    let mut again = send("k");
    server.backend.wait_for_sinks("job-1", 2);
    server.backend.release();
    for reply in [read_reply(&mut first), read_reply(&mut again)] {
        assert_eq!(
            (reply.text("status"), reply.text("job_id")),
            ("completed".into(), "job-1".into())
        );
    }
    assert_eq!(server.backend.submissions(), 1);
    server.join();
}

#[test]
fn a_submission_that_met_a_defect_is_not_run_again() {
    let server = start(ServerOptions::default());
    let send = || {
        let body = execute_body("panic");
        server.call("POST", "/execute", "Idempotency-Key: k\r\n", body.as_bytes())
    };
    let first = send();
    first.refused(500, "internal");
    assert_eq!(send().body, first.body);
    assert_eq!(server.backend.submissions(), 1);
}
