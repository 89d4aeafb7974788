// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server does not take, and that it keeps serving.

mod support;

use std::io::{Read, Write};
use support::{Running, execute_body, keyed, read_reply, start};
use unsandbox_protocol::auth::{Secret, sign};
use unsandbox_server::{Caps, ServerOptions};

fn body(extra: &str) -> String {
    format!("{{\"language\":\"python\",\"code\":\"1\"{extra}}}")
}

#[track_caller]
fn serves(server: &Running) {
    assert_eq!(server.execute("still here").text("stdout"), "still here");
}

#[test]
fn bad_input_is_400_and_names_the_thing() {
    let server = start(ServerOptions::default());
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let cases = [
        ("{".to_string(), "JSON"),
        ("[1]".to_string(), "body"),
        (nested, "JSON"),
        ("{\"language\":\"python\"}".to_string(), "code"),
        ("{\"language\":\"pyhton\",\"code\":\"1\"}".to_string(), "python"),
        ("{\"language\":7,\"code\":\"1\"}".to_string(), "language"),
        (body(",\"ttl\":901"), "901"),
        (body(",\"ttl\":0"), "ttl"),
        (body(",\"ttl\":1.5"), "ttl"),
        (body(",\"ttl\":\"60\""), "ttl"),
        (body(",\"network_mode\":\"open\""), "open"),
        (body(",\"env\":{\"A=B\":\"\"}"), "A=B"),
        (body(",\"input_files\":[{\"filename\":\"../x\",\"content\":\"\"}]"), "../x"),
        (body(",\"input_files\":[{\"content\":\"%%%\"}]"), "base64"),
        (body(",\"limits\":{\"memory_bytes\":1}"), "memory_bytes"),
        (body(",\"runtime\":\"/bin/sh\""), "runtime"),
    ];
    for (body, names) in cases {
        let reply = server.call("POST", "/execute", "", body.as_bytes());
        let message = reply.refused(400, "invalid_request");
        assert!(message.contains(names), "{names}: {message}");
    }
    assert_eq!(server.backend.submissions(), 0);
    serves(&server);
}

#[test]
fn paths_and_methods_have_the_envelope_too() {
    let server = start(ServerOptions::default());
    server.get("/v1/execute").refused(404, "not_found");
    server.get("/").refused(404, "not_found");
    server.get("/jobs/unknown").refused(404, "not_found");
    server.get("/jobs/%FF%00").refused(404, "not_found");
    server.call("DELETE", "/jobs/unknown", "", b"").refused(404, "not_found");
    for (method, path) in [("GET", "/execute"), ("PUT", "/run"), ("POST", "/health")] {
        let reply = server.call(method, path, "", b"");
        let message = reply.refused(405, "method_not_allowed");
        assert!(message.contains(method) && message.contains(path), "{message}");
        assert!(reply.head.contains("allow: "), "{}", reply.head);
    }
    server.get("/jobs/x?wait=soon").refused(400, "invalid_request");
    serves(&server);
}

#[test]
fn a_body_over_the_limit_is_413_announced_or_not() {
    let server = start(ServerOptions { body_limit: 1000, ..ServerOptions::default() });
    let long = execute_body(&"x".repeat(1000));
    let reply = server.call("POST", "/execute", "", long.as_bytes());
    let message = reply.refused(413, "too_large");
    assert!(message.contains("1000"), "{message}");
    let mut stream = server.connect();
    let chunked = format!(
        "POST /run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         400\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x400)
    );
    stream.write_all(chunked.as_bytes()).unwrap();
    read_reply(&mut stream).refused(413, "too_large");
    serves(&server);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = start(keyed("good"));
    // Far more than the socket's buffers hold: without reading on, the reply would be lost to a reset.
    let reply = server.call("POST", "/execute", "", &vec![b'x'; 20 << 20]);
    reply.refused(401, "invalid_api_key");
}

#[test]
fn a_full_queue_says_how_long() {
    let server = start(ServerOptions::default());
    let reply = server.execute("busy");
    reply.refused(429, "rate_limit_exceeded");
    assert!(reply.head.contains("retry-after: 2"), "{}", reply.head);
    serves(&server);
}

#[test]
fn a_cap_of_the_server_is_named() {
    let caps = Caps { ttl_seconds: 10, ..Caps::default() };
    let server = start(ServerOptions { caps, ..ServerOptions::default() });
    let reply = server.call("POST", "/execute", "", body(",\"ttl\":11").as_bytes());
    let message = reply.refused(400, "invalid_request");
    assert!(message.contains("at most 10"), "{message}");
}

#[test]
fn a_panic_is_a_500_and_the_server_goes_on() {
    let server = start(ServerOptions::default());
    server.execute("panic").refused(500, "internal");
    serves(&server);
}

#[test]
fn garbage_on_the_wire_does_not_stop_the_server() {
    let server = start(ServerOptions::default());
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"POST /run HTTP/1.1\r\nHost: "] {
        let mut stream = server.connect();
        stream.write_all(garbage).unwrap();
        drop(stream);
    }
    let mut stream = server.connect();
    stream
        .write_all(format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes())
        .ok();
    drop(stream);
    serves(&server);
}

/// A small generator: the cases are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn mangled_requests_are_answered_or_dropped_and_never_run() {
    let server = start(ServerOptions { body_limit: 10_000, ..ServerOptions::default() });
    let mut random = Random(7);
    // Nothing that is left of it can be a program: its language is not known.
    let body = "{\"language\":\"none\",\"code\":\"x\",\"env\":{\"A\":\"1\"},\"input_files\":[{\"content\":\"QQ==\"}]}";
    for case in 0..2_000 {
        let query = ["", "?ttl=%zz", "?env=%7B", "?wait=1"][random.below(4)];
        let path = ["/execute", "/run", "/jobs/x", "/execute/async"][random.below(4)];
        let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\nX-Signature: 0\r\n";
        let path = format!("{path}{query}");
        let mut bytes = support::request(server.host(), "POST", &path, headers, body.as_bytes());
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut stream = std::net::TcpStream::connect(server.host()).unwrap();
        // A server that has heard enough may close while we still write.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        let ok = reply.is_empty()
            || reply.starts_with(b"HTTP/1.1 4")
            || reply.starts_with(b"HTTP/1.0 4");
        assert!(ok, "case {case}: {:?}", String::from_utf8_lossy(&reply));
    }
    assert_eq!(server.backend.submissions(), 0);
    serves(&server);
}

#[test]
fn web_pages_cannot_use_a_server_without_keys() {
    let server = start(ServerOptions::default());
    let body = execute_body("hold");
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example:80\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let reply = server.call("POST", "/execute", headers, body.as_bytes());
        reply.refused(403, "forbidden");
        server.call("GET", "/health", headers, b"").refused(403, "forbidden");
    }
    let reply = server.call("POST", "http://evil.example/execute", "", body.as_bytes());
    reply.refused(403, "forbidden");
    assert_eq!(server.backend.submissions(), 0);
    assert_eq!(server.call("GET", "/health", "Host: LocalHost:1\r\n", b"").status, 200);
    // A server with keys may be called from a page: the page needs a key like anyone else.
    let server = start(keyed("good"));
    let headers =
        "Origin: http://app.example\r\nHost: app.example\r\nAuthorization: Bearer good\r\n";
    assert_eq!(server.call("GET", "/jobs", headers, b"").status, 200);
}

#[test]
fn keys_are_needed_except_for_health_and_languages() {
    let server = start(keyed("good,pub-1:sec-1"));
    for path in ["/health", "/languages"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    for headers in [
        "",
        "Authorization: good\r\n",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer pub-1\r\n",
    ] {
        for (method, path) in [("POST", "/execute"), ("GET", "/jobs"), ("POST", "/keys/validate")] {
            server.call(method, path, headers, b"{}").refused(401, "invalid_api_key");
        }
    }
    for key in ["good", "sec-1"] {
        let headers = format!("Authorization: Bearer {key}\r\n");
        assert_eq!(server.call("POST", "/keys/validate", &headers, b"").status, 200);
    }
}

#[test]
fn signatures_are_checked_over_the_whole_request() {
    let server = start(keyed("pub-1:sec-1"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = now.as_secs() as i64;
    let body = execute_body("signed");
    let call = |time: i64, signed_path: &str, secret: &str, sent: &str| {
        let signature = sign(&Secret::new(secret), time, "POST", signed_path, body.as_bytes());
        let headers = format!(
            "Authorization: Bearer pub-1\r\nX-Timestamp: {time}\r\nX-Signature: {signature}\r\n"
        );
        server.call("POST", "/execute?a=b", &headers, sent.as_bytes())
    };
    assert_eq!(call(now, "/execute", "sec-1", &body).text("stdout"), "signed");
    assert_eq!(call(now, "/execute?a=b", "sec-1", &body).text("stdout"), "signed");
    call(now, "/run", "sec-1", &body).refused(401, "invalid_signature");
    call(now, "/execute", "other", &body).refused(401, "invalid_signature");
    call(now, "/execute", "sec-1", &execute_body("else")).refused(401, "invalid_signature");
    for stale in [now - 310, now + 310] {
        let message = call(stale, "/execute", "sec-1", &body).refused(401, "invalid_timestamp");
        assert!(message.contains("timestamp expired"), "{message}");
    }
}

#[test]
fn a_job_of_another_key_does_not_exist() {
    let server = start(keyed("alice,bob"));
    let alice = "Authorization: Bearer alice\r\n";
    let bob = "Authorization: Bearer bob\r\n";
    let submitted = server.call("POST", "/execute/async", alice, execute_body("hold").as_bytes());
    let path = format!("/jobs/{}", submitted.text("job_id"));
    let unknown = server.call("GET", "/jobs/nothing", bob, b"").refused(404, "not_found");
    let message = server.call("GET", &path, bob, b"").refused(404, "not_found");
    assert_eq!(message.replace(&submitted.text("job_id"), "nothing"), unknown);
    server.call("DELETE", &path, bob, b"").refused(404, "not_found");
    assert_eq!(server.call("GET", "/jobs", bob, b"").json()["jobs"].as_array().unwrap().len(), 0);
    assert_eq!(server.call("GET", &path, alice, b"").text("status"), "running");
}

#[test]
fn bodies_that_have_no_room_together_are_refused_for_now() {
    let server = start(ServerOptions { bodies_limit: 64 << 10, ..ServerOptions::default() });
    let head = "POST /run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 40000\r\n\r\n";
    let almost_whole = || {
        let mut stream = std::net::TcpStream::connect(server.host()).unwrap();
        stream.write_all(&[head.as_bytes(), &[b'#'; 39_999]].concat()).unwrap();
        stream
    };
    let mut half = almost_whole();
    // While the server reads that, small bodies still find room; once it has, a second large one does
    // not. A second one that came first was itself in the way, so then it is tried again.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let reply = loop {
        for _ in 0..10 {
            assert_eq!(server.execute("small").status, 200);
        }
        let reply = server.execute(&"x".repeat(20_000));
        if reply.status != 200 {
            break reply;
        }
        half = almost_whole();
        assert!(std::time::Instant::now() < deadline, "there is room for everything");
    };
    reply.refused(503, "busy");
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert_eq!(server.execute("small").status, 200);
    half.write_all(b"#").unwrap();
    read_reply(&mut half).refused(400, "invalid_request");
    assert_eq!(server.execute(&"x".repeat(20_000)).status, 200);
}

#[test]
fn a_stale_signature_is_refused_before_its_body_is_read() {
    let server = start(keyed("pub-1:sec-1"));
    let mut stream = server.connect();
    let head = "POST /execute HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
                Authorization: Bearer pub-1\r\nX-Timestamp: 1\r\nX-Signature: 00\r\nContent-Length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // Not one byte of the body is sent.
    read_reply(&mut stream).refused(401, "invalid_timestamp");
}

#[test]
fn a_client_that_asks_for_it_gets_each_thing_once() {
    let server = start(ServerOptions::default());
    let id = server.execute("artifact").text("job_id");
    let reply = server.call("GET", &format!("/jobs/{id}"), "X-Unsandbox-Compat: 0\r\n", b"");
    let json = reply.json();
    assert!(json.get("stdout").is_none() && json["result"]["artifacts"][0].get("data").is_none());
    let full = server.get(&format!("/jobs/{id}")).json();
    assert!(full.get("stdout").is_some() && full["result"]["artifacts"][0].get("data").is_some());
}

#[test]
fn a_body_that_is_encoded_is_refused_by_the_name_of_the_header() {
    let server = start(ServerOptions::default());
    let send = |encoding: &str| {
        let headers = format!("Content-Encoding: {encoding}\r\n");
        server.call("POST", "/execute", &headers, body("").as_bytes())
    };
    let message = send("gzip").refused(415, "unsupported_media_type");
    assert!(message.contains("Content-Encoding") && message.contains("gzip"), "{message}");
    assert_eq!(send("Identity").status, 200);
    serves(&server);
}
