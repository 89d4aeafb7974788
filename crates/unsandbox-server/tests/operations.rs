// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each operation over HTTP, as a client sees it.

mod support;

use support::{Running, execute_body, read_reply, start, start_at};
use unsandbox_protocol::Limits;
use unsandbox_server::{Caps, ServerOptions};

fn server() -> Running {
    start(ServerOptions::default())
}

#[test]
fn execute_answers_compact_json_with_the_features() {
    let server = server();
    let reply = server.execute("print(1)");
    assert_eq!(reply.status, 200);
    assert!(reply.body.starts_with("{\"success\":true,\"stdout\":\"print(1)\","), "{}", reply.body);
    assert!(reply.head.contains("x-unsandbox-features: run-json, idempotency=process:"));
    assert!(reply.head.contains("content-type: application/json"));
    assert_eq!(reply.text("status"), "completed");
    assert_eq!(reply.text("job_id"), "job-1");
}

#[test]
fn async_gives_a_job_that_is_listed_polled_and_cancelled() {
    let server = server();
    let submitted = server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    assert_eq!((submitted.status, submitted.text("status").as_str()), (200, "pending"));
    let id = submitted.text("job_id");
    let listed = server.get("/jobs").json();
    assert_eq!(listed["jobs"][0]["job_id"], id.as_str());
    assert_eq!(server.get(&format!("/jobs/{id}")).text("status"), "running");
    let cancelled = server.call("DELETE", &format!("/jobs/{id}"), "", b"");
    assert_eq!((cancelled.status, cancelled.text("status").as_str()), (200, "cancelled"));
    assert_eq!(cancelled.json()["result"]["stdout"], "partial");
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 0);
    // A finished job is given as it is, and by the older spelling too.
    let again = server.call("POST", &format!("/jobs/{id}/cancel"), "", b"");
    assert_eq!((again.status, again.text("status").as_str()), (200, "cancelled"));
    let job = server.get(&format!("/jobs/{id}"));
    assert_eq!(job.json()["result"]["stdout"], job.json()["stdout"], "nested and flat");
}

#[test]
fn a_list_has_pages_where_they_are_asked_for() {
    let server = server();
    let submit = || server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    let ids: Vec<String> = (0..3).map(|_| submit().text("job_id")).collect();
    let whole = server.get("/jobs").json();
    assert_eq!(whole["count"], 3);
    assert!(whole.get("has_more").is_none(), "nothing is new for clients of the service: {whole}");
    assert_eq!(server.get("/jobs?cursor=7").json(), whole, "an unknown name does nothing");
    let page = |query: &str| {
        let reply = server.get(&format!("/jobs?{query}")).json();
        let jobs = reply["jobs"].as_array().unwrap().iter();
        let listed: Vec<String> =
            jobs.map(|job| job["job_id"].as_str().unwrap().to_string()).collect();
        assert_eq!(reply["count"], listed.len());
        (listed, reply["has_more"].as_bool().unwrap())
    };
    assert_eq!(page("limit=2"), (ids[..2].to_vec(), true));
    assert_eq!(page(&format!("limit=2&after={}", ids[1])), (ids[2..].to_vec(), false));
    assert_eq!(page(&format!("after={}", ids[2])), (Vec::new(), false));
    for (query, words) in [
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=many", "\"many\""),
        ("after=", "after is empty"),
        ("after=job-9", "without after"),
    ] {
        let told = server.get(&format!("/jobs?{query}")).refused(400, "invalid_request");
        assert!(told.contains(words), "{query}: {told}");
    }
}

#[test]
fn a_job_is_deleted_by_a_path_of_its_own_once_it_has_ended() {
    let server = start(support::keyed("alice-0123456789 bob-0123456789"));
    let call = |key: &str, method: &str, path: &str, body: &str| {
        let headers = format!("Authorization: Bearer {key}-0123456789\r\nIdempotency-Key: k\r\n");
        server.call(method, path, &headers, body.as_bytes())
    };
    let alice = |method: &str, path: &str| call("alice", method, path, "");
    let submit = || call("alice", "POST", "/execute/async", &execute_body("hold"));
    let id = submit().text("job_id");
    assert_eq!(submit().text("job_id"), id);
    let (job, record) = (format!("/jobs/{id}"), format!("/jobs/{id}/record"));
    let told = alice("DELETE", &record).refused(409, "conflict");
    assert!(told.contains("is running; cancel it first"), "{told}");
    assert_eq!(alice("GET", &job).text("status"), "running");
    assert_eq!(alice("DELETE", &job).text("status"), "cancelled");
    // A cancel is a cancel, also of a job that has ended.
    assert_eq!(alice("DELETE", &job).text("message"), "Job cancelled");
    call("bob", "DELETE", &record, "").refused(404, "not_found");
    let deleted = alice("DELETE", &record);
    assert_eq!(deleted.body, format!("{{\"job_id\":\"{id}\",\"deleted\":true}}"));
    assert!(deleted.head.contains(", delete\r\n"), "{}", deleted.head);
    for (method, path) in [("DELETE", &record), ("DELETE", &job), ("GET", &job)] {
        alice(method, path).refused(404, "not_found");
    }
    alice("GET", &record).refused(405, "method_not_allowed");
    assert_ne!(submit().text("job_id"), id, "the key is a new one");
    assert_eq!(server.backend.submissions(), 2);
}

#[test]
fn what_is_left_open_is_under_the_caps_of_the_server() {
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let caps = Caps { ttl_seconds: 30, limits };
    let server = start(ServerOptions { caps, ..ServerOptions::default() });
    let shown = server.execute("show").text("stdout");
    assert!(shown.contains("ttl: Some(30)"), "{shown}");
    assert!(shown.contains("memory_bytes: Some(67108864)"), "{shown}");
    let asked = r#"{"language":"python","code":"show","ttl":60}"#;
    let refused = server.call("POST", "/execute", "", asked.as_bytes());
    assert!(refused.refused(400, "invalid_request").contains("at most 30 seconds"));
}

#[test]
fn async_true_in_execute_is_a_job() {
    let server = server();
    let body = r#"{"language":"python","code":"hold","async":true}"#;
    let reply = server.call("POST", "/execute", "", body.as_bytes());
    assert_eq!(reply.text("status"), "pending");
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn without_compat_a_job_carries_its_result_once() {
    let server = start(ServerOptions { compat: false, ..ServerOptions::default() });
    let id = server.execute("once").text("job_id");
    let job = server.get(&format!("/jobs/{id}"));
    assert_eq!(job.json()["result"]["stdout"], "once");
    assert!(job.json().get("stdout").is_none(), "{}", job.body);
}

#[test]
fn run_takes_a_raw_program_and_json() {
    let server = server();
    let code = "#!/usr/bin/env python3\nprint(1)\n";
    let raw = server.call("POST", "/run?ttl=5", "Content-Type: text/plain\r\n", code.as_bytes());
    assert_eq!((raw.status, raw.text("stdout").as_str()), (200, code), "{raw:?}");
    let body = serde_json::json!({"code": code, "args": ["a"], "stdin": "x"}).to_string();
    let json =
        server.call("POST", "/run/async", "Content-Type: application/json\r\n", body.as_bytes());
    assert_eq!((json.status, json.text("status").as_str()), (200, "pending"), "{json:?}");
}

#[test]
fn a_form_is_no_program() {
    let server = server();
    for media in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        "multipart/form-data; boundary=x",
    ] {
        for path in ["/run", "/run/async", "/run?ttl=5"] {
            let headers = format!("Content-Type: {media}\r\n");
            let told = server
                .call("POST", path, &headers, b"#!/bin/sh\n")
                .refused(415, "unsupported_media_type");
            assert!(told.contains("text/plain") && told.contains("web page"), "{told}");
        }
    }
    for headers in
        ["", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: text/x-sh\r\n"]
    {
        assert_eq!(server.call("POST", "/run", headers, b"#!/bin/sh\n").status, 200, "{headers}");
    }
    assert_eq!(server.backend.submissions(), 3);
}

#[test]
fn what_is_no_option_is_told_and_what_is_there_twice_is_refused() {
    let server = server();
    let body = r#"{"language":"python","code":"x","vcpu":2,"tll":5}"#;
    for path in ["/execute", "/execute/async"] {
        let warnings = server.call("POST", path, "", body.as_bytes()).json()["warnings"].clone();
        let told =
            ["vcpu", "tll"].map(|name| format!("\"{name}\" was ignored: no option has this name"));
        assert_eq!(warnings, serde_json::json!(told), "{path}");
    }
    let code = b"#!/bin/sh\n";
    let reply =
        server.call("POST", "/run?tll=5&stdin=x", "Content-Type: text/plain\r\n", code).json();
    let warnings = reply["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("\"tll\" was ignored"), "{warnings:?}");
    assert!(warnings[1].as_str().unwrap().contains("JSON body"), "{warnings:?}");
    let plain = server.execute("x");
    assert!(plain.json().get("warnings").is_none(), "{}", plain.body);
    for twice in [
        r#"{"language":"python","code":"a","code":"b"}"#,
        r#"{"language":"python","code":"a","env":{"A":"1","A":"2"}}"#,
        r#"{"language":"python","code":"a","x":1,"x":2}"#,
    ] {
        let told =
            server.call("POST", "/execute", "", twice.as_bytes()).refused(400, "invalid_request");
        assert!(told.contains("twice"), "{told}");
    }
}

#[test]
fn what_only_the_service_has_is_an_empty_list() {
    let server = server();
    for (path, name) in [
        ("/services", "services"),
        ("/sessions", "sessions"),
        ("/snapshots", "snapshots"),
        ("/images", "images"),
    ] {
        assert_eq!(server.get(path).body, format!("{{\"{name}\":[],\"count\":0}}"), "{path}");
    }
    server.call("POST", "/services", "", b"{}").refused(405, "method_not_allowed");
    let keyed = start(support::keyed("a-key"));
    keyed.get("/services").refused(401, "invalid_api_key");
}

#[test]
fn a_chunked_body_is_read() {
    let server = server();
    let mut stream = server.connect();
    let body = execute_body("chunked");
    let (a, b) = body.split_at(7);
    let bytes = format!(
        "POST /execute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
        a.len(),
        b.len()
    );
    stream.write_all(bytes.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream).text("stdout"), "chunked");
}

#[test]
fn megabytes_pass_both_ways() {
    let code = "x".repeat(9 << 20);
    assert_eq!(server().execute(&code).text("stdout"), code);
}

#[test]
fn languages_key_and_health() {
    let server = server();
    let languages = server.get("/languages").json();
    assert_eq!(languages["languages"][0], "python");
    assert_eq!(languages["aliases"]["py"], "python");
    let key = server.call("POST", "/keys/validate", "", b"{}");
    assert!(key.body.contains("\"valid\":true"), "{}", key.body);
    for number in ["rate_per_minute", "burst", "concurrency"] {
        assert!(key.json()[number].as_u64().is_some_and(|n| n > 0), "{number}: {}", key.body);
    }
    assert_eq!(
        key.text("tier"),
        "self-hosted",
        "an engine of its own is the caller's, not a server"
    );
    assert!(!key.body.contains("\"error\""), "{}", key.body);
    assert_eq!(server.get("/health").status, 200);
    let head = server.call("HEAD", "/health", "", b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn a_long_poll_answers_at_the_end_of_the_job() {
    let server = server();
    let id = server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    let path = format!("/jobs/{}?wait=30", id.text("job_id"));
    let mut waiting = server.send("GET", &path, "", b"");
    // Whether the poll or the end comes first, the reply is the same.
    server.backend.release();
    assert_eq!(read_reply(&mut waiting).text("status"), "completed");
}

#[test]
fn a_long_poll_ends_with_the_state_when_its_time_is_over() {
    let server = server();
    let id = server.call("POST", "/execute/async", "", execute_body("hold").as_bytes());
    let reply = server.get(&format!("/jobs/{}?wait=1", id.text("job_id")));
    assert_eq!((reply.status, reply.text("status").as_str()), (200, "running"));
}

#[test]
fn a_unix_socket_serves_the_same() {
    let path = std::env::temp_dir().join(format!("us-server-{}.sock", std::process::id()));
    let mut server = start_at(&format!("unix:{}", path.display()), ServerOptions::default());
    assert_eq!(server.execute("print(1)").text("stdout"), "print(1)");
    // Clients put anything into Host here; a web page's Origin is refused all the same.
    let body = execute_body("x");
    let reply = server.call("POST", "/execute", "Host: whatever\r\n", body.as_bytes());
    assert_eq!(reply.status, 200);
    let reply = server.call("POST", "/execute", "Origin: http://evil\r\n", body.as_bytes());
    reply.refused(403, "forbidden");
    // A proxy in front of it may pass the pages of others on, under any name.
    let own = "Host: evil\r\nOrigin: http://evil\r\nSec-Fetch-Site: same-origin\r\n";
    server.call("POST", "/execute", own, body.as_bytes()).refused(403, "forbidden");
    server.stop.cancel();
    server.join();
    assert!(!path.exists(), "the socket is removed");
}
