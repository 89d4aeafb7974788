// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GET /healthz` and `GET /readyz` in each state of a server.

mod support;

use serde_json::json;
use std::time::Duration;
use support::condition::Inner;
use support::{Reply, Running, execute_body, keyed, start};
use unsandbox_protocol::backend::Health;
use unsandbox_protocol::{Error, ErrorCode, IsolationPolicy, Level, Status};
use unsandbox_server::ServerOptions;

const KEY: &str = "Authorization: Bearer the-key\r\n";

fn ready(server: &Running) -> Reply {
    server.call("GET", "/readyz", KEY, b"")
}

/// The reply of a server whose backend is in a condition from its begin on.
fn ready_in(policy: IsolationPolicy, set: impl FnOnce(&mut Inner)) -> Reply {
    let server = start(ServerOptions { isolation: policy, ..keyed("the-key") });
    set(&mut server.backend.condition.0.lock().unwrap());
    ready(&server)
}

/// Asserts that this check fails, and no other.
#[track_caller]
fn fails(reply: &Reply, name: &str, detail: &str) {
    assert_eq!((reply.status, reply.text("status")), (503, "not_ready".to_string()), "{reply:?}");
    let json = reply.json();
    let checks = json["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(failed, [&json!({"name": name, "ok": false, "detail": detail})], "{reply:?}");
}

#[test]
fn a_server_that_would_run_a_program_is_ready() {
    for policy in [IsolationPolicy::Auto, IsolationPolicy::Full, IsolationPolicy::Reduced] {
        let reply = ready_in(policy, |inner| {
            inner.queue(5, false);
            inner.store(true);
        });
        assert_eq!(reply.status, 200, "{reply:?}");
        let ok = |name: &str| json!({"name": name, "ok": true});
        let names = ["store", "jailer", "queue", "level", "accepting"];
        assert_eq!(reply.json(), json!({"status": "ready", "checks": names.map(ok)}));
    }
}

#[test]
fn each_thing_that_is_not_in_order_is_named() {
    let auto = IsolationPolicy::Auto;
    let reply = ready_in(auto, |inner| inner.store(false));
    fails(&reply, "store", "the last change could not be written");
    let reply = ready_in(auto, |inner| inner.queue(7, true));
    fails(&reply, "queue", "7 submissions wait, which is the limit");
    let sick = Health { healthy: false, status: "no namespaces".to_string(), raw: None };
    fails(&ready_in(auto, |inner| inner.health = Ok(sick)), "jailer", "no namespaces");
    let broken = Error::new(ErrorCode::Server, "the jailer has ended");
    fails(&ready_in(auto, |inner| inner.health = Err(broken)), "jailer", "the jailer has ended");
    fails(&ready_in(auto, |inner| inner.level(None)), "level", "no jail can be built");
    let below = ready_in(IsolationPolicy::Full, |inner| inner.level(Some(Level::Reduced)));
    fails(&below, "level", "the isolation is reduced, and full is required");
    assert_eq!(ready_in(auto, |inner| inner.level(Some(Level::Reduced))).status, 200);
}

#[test]
fn a_backend_that_runs_code_elsewhere_has_no_level_here() {
    let elsewhere = Error::argument("probe is for this machine");
    assert_eq!(ready_in(IsolationPolicy::Full, |inner| inner.probe = Err(elsewhere)).status, 200);
}

#[test]
fn a_stopping_server_is_alive_and_not_ready() {
    let grace = Duration::from_secs(60);
    let mut server = start(ServerOptions { grace, ..keyed("the-key") });
    let body = execute_body("hold");
    assert_eq!(server.call("POST", "/execute/async", KEY, body.as_bytes()).status, 200);
    server.backend.wait_for(&Status::Running, 1);
    assert_eq!(ready(&server).status, 200);
    server.stop.cancel();
    let stopped = loop {
        let reply = ready(&server);
        if reply.status != 200 {
            break reply;
        }
    };
    fails(&stopped, "accepting", "the server is stopping");
    assert_eq!(server.get("/healthz").body, r#"{"status":"ok"}"#);
    server.stop_now.cancel();
    server.join();
}

#[test]
fn only_a_key_that_is_known_is_told_the_checks() {
    let server = start(keyed("the-key"));
    server.backend.condition.0.lock().unwrap().level(None);
    let wrong = "Authorization: Bearer another\r\n";
    for headers in ["", wrong] {
        let reply = server.call("GET", "/readyz", headers, b"");
        assert_eq!((reply.status, reply.body.as_str()), (503, r#"{"status":"not_ready"}"#));
    }
    assert!(ready(&server).json()["checks"].is_array());
    let open = start(ServerOptions::default());
    assert!(open.get("/readyz").json()["checks"].is_array(), "users of this machine alone may ask");
}

#[test]
fn a_server_without_a_working_backend_is_alive() {
    let server = start(keyed("the-key"));
    server.backend.itself.close();
    let alive = server.get("/healthz");
    assert_eq!((alive.status, alive.body.as_str()), (200, r#"{"status":"ok"}"#));
    server.backend.itself.open();
}
