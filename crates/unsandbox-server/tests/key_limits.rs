// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each key may do: requests in a minute, languages, network and caps; and what `GET /usage` says of it.

mod support;

use std::sync::Arc;
use support::{Reply, Running, execute_body, start};
use unsandbox_protocol::auth::{Secret, sign};
use unsandbox_server::{KeyPolicies, KeyRing, Keys, ServerOptions};

fn server(limits: &str) -> Running {
    let keys = Keys::from_accounts("pub-a,sec-a,alice\nbob\n").unwrap();
    let policies = KeyPolicies::from_toml(limits).unwrap();
    let keys = Arc::new(KeyRing::new(keys, policies, 4).unwrap());
    start(ServerOptions { keys, concurrency: 4, queue: 7, ..ServerOptions::default() })
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

fn execute(server: &Running, key: &str, extra: &str) -> Reply {
    let body = format!("{{\"language\":\"python\",\"code\":\"1\"{extra}}}");
    server.call("POST", "/execute", &bearer(key), body.as_bytes())
}

#[test]
fn a_key_over_its_rate_is_refused_and_told_when_to_come_back() {
    let server = server("[key.alice]\nrequests_per_minute = 2\nburst = 2\n");
    for remaining in ["1", "0"] {
        let reply = execute(&server, "sec-a", "");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("ratelimit-limit"), Some("2"));
        assert_eq!(reply.header("ratelimit-remaining"), Some(remaining));
    }
    let reply = execute(&server, "sec-a", "");
    let message = reply.refused(429, "rate_limit_exceeded");
    assert!(message.contains("2 requests a minute"), "{message}");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(reply.header("ratelimit-remaining"), Some("0"));
    assert_eq!(server.backend.submissions(), 2);
    // Another key is not bound by it, nor is a path that needs none.
    let other = execute(&server, "bob", "");
    assert_eq!((other.status, other.header("ratelimit-limit")), (200, None));
    assert_eq!(server.call("GET", "/health", &bearer("sec-a"), b"").status, 200);
}

#[test]
fn a_signed_request_costs_its_key_one_and_a_forged_one_nothing() {
    let server = server("[key.pub-a]\nrequests_per_minute = 1\n");
    let body = execute_body("1");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = now.as_secs() as i64;
    let send = |secret: &str| {
        let signature = sign(&Secret::new(secret), now, "POST", "/execute", body.as_bytes());
        let headers =
            format!("{}X-Timestamp: {now}\r\nX-Signature: {signature}\r\n", bearer("pub-a"));
        server.call("POST", "/execute", &headers, body.as_bytes())
    };
    for _ in 0..3 {
        send("forged").refused(401, "invalid_signature");
    }
    assert_eq!(send("sec-a").status, 200);
    send("sec-a").refused(429, "rate_limit_exceeded");
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_key_has_only_the_languages_the_network_and_the_limits_that_it_may_have() {
    let server = server(
        "[default]\nmax_ttl = 30\n[key.alice]\nlanguages = [\"python\"]\nnetwork_mode = \"zerotrust\"\n\
         max_limits = { memory_bytes = 67108864 }\n",
    );
    assert_eq!(execute(&server, "sec-a", "").status, 200);
    let body = "{\"language\":\"bash\",\"code\":\"1\"}";
    let reply = server.call("POST", "/execute", &bearer("sec-a"), body.as_bytes());
    let message = reply.refused(403, "forbidden");
    assert_eq!(message, "this key may not run bash; it may run python");
    // Where the server detects the language, it is refused before anything runs.
    let code = "#!/bin/bash\necho hi\n";
    server.call("POST", "/run", &bearer("sec-a"), code.as_bytes()).refused(403, "forbidden");
    let message = execute(&server, "sec-a", ",\"network_mode\":\"semitrusted\"");
    assert!(message.refused(403, "forbidden").contains("semitrusted"));
    let reply = execute(&server, "sec-a", ",\"limits\":{\"memory_bytes\":67108865}");
    assert!(reply.refused(400, "invalid_request").contains("67108864"));
    assert!(
        execute(&server, "sec-a", ",\"ttl\":31").refused(400, "invalid_request").contains("30")
    );
    assert_eq!(server.backend.submissions(), 1);
    // The other key has the default alone.
    assert_eq!(server.call("POST", "/run", &bearer("bob"), code.as_bytes()).status, 200);
    assert!(execute(&server, "bob", ",\"ttl\":31").refused(400, "invalid_request").contains("30"));
}

#[test]
fn a_key_asks_what_it_may_have_and_has_used() {
    let server = server(
        "[key.alice]\nconcurrency = 2\nreserved = 1\nrequests_per_minute = 60\nmax_ttl = 30\n\
         languages = [\"python\"]\n",
    );
    execute(&server, "sec-a", "");
    execute(&server, "bob", "");
    let usage = server.call("GET", "/usage", &bearer("sec-a"), b"").json();
    assert_eq!(usage["runs"], serde_json::json!({"completed": 1}), "of this key alone");
    assert_eq!(usage["requests_remaining"], 58);
    let limits = &usage["limits"];
    assert_eq!((&limits["concurrency"], &limits["queue"]), (&2.into(), &7.into()));
    assert_eq!((&limits["reserved"], &limits["max_ttl"]), (&1.into(), &30.into()));
    assert_eq!(limits["languages"], serde_json::json!(["python"]));
    let other = server.call("GET", "/usage", &bearer("bob"), b"").json();
    assert_eq!(other["limits"]["concurrency"], 4);
    assert!(other["requests_remaining"].is_null() && other["limits"]["languages"].is_null());
    server.get("/usage").refused(401, "invalid_api_key");
    let valid = server.call("POST", "/keys/validate", &bearer("sec-a"), b"").json();
    assert_eq!((&valid["rate_per_minute"], &valid["concurrency"]), (&60.into(), &2.into()));
}
