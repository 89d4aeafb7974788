// SPDX-License-Identifier: MIT OR Apache-2.0
//! Large replies: all together they have a bound, and they are in nobody's way.

mod support;

use std::time::{Duration, Instant};
use support::{Running, read_reply, start, start_at};
use unsandbox_server::{KeyRing, Keys, ServerOptions};

/// On a Unix socket, whose buffer is small.
fn with_large_job(name: &str, options: ServerOptions) -> (Running, String) {
    let path = std::env::temp_dir().join(format!("us-{name}-{}.sock", std::process::id()));
    let server = start_at(&format!("unix:{}", path.display()), options);
    let body = support::execute_body("large");
    let id = server.call("POST", "/execute/async", "", body.as_bytes()).text("job_id");
    (server, format!("/jobs/{id}"))
}

#[test]
fn replies_that_nobody_takes_leave_room_for_questions_and_the_rest_is_told_to_come_again() {
    let reply_memory_timeout = Duration::from_millis(100);
    // Room for one of them at a time, as what is larger than the room has all of it.
    let options =
        ServerOptions { replies_limit: 1 << 20, reply_memory_timeout, ..Default::default() };
    let (server, path) = with_large_job("busy", options);
    let mut untaken = server.send("GET", &path, "", b"");
    let mut first = [0; 12];
    untaken.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let busy = server.get(&path);
    let message = busy.refused(503, "busy");
    assert!(message.contains("job-1"), "{message}");
    assert!(busy.head.contains("retry-after: 2"), "{}", busy.head);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.execute("small").text("stdout"), "small");
    let mut rest = Vec::new();
    untaken.read_to_end(&mut rest).unwrap();
    assert_eq!(server.get(&path).status, 200, "there is room again");
}

/// About what the reply with a large job takes.
const LARGE_BYTES: usize = 8 << 20;

#[test]
fn what_one_key_leaves_untaken_leaves_room_for_another() {
    // Room for three replies and a half, which one key alone would fill.
    let options = ServerOptions {
        keys: KeyRing::of(Keys::from_words("a,b").unwrap()),
        replies_limit: 7 * LARGE_BYTES / 2,
        reply_memory_timeout: Duration::from_millis(300),
        ..Default::default()
    };
    let path = std::env::temp_dir().join(format!("us-keys-{}.sock", std::process::id()));
    let server = start_at(&format!("unix:{}", path.display()), options);
    let large_of = |server: &Running, key: &str| {
        let headers = format!("Authorization: Bearer {key}\r\n");
        let body = support::execute_body("large");
        let id = server.call("POST", "/execute/async", &headers, body.as_bytes()).text("job_id");
        (format!("/jobs/{id}"), headers)
    };
    let (path, headers) = large_of(&server, "a");
    let _untaken: Vec<_> = (0..5).map(|_| server.send("GET", &path, &headers, b"")).collect();
    std::thread::sleep(Duration::from_millis(600));
    let (path, headers) = large_of(&server, "b");
    let reply = server.call("GET", &path, &headers, b"");
    assert_eq!(reply.status, 200);
    assert!(reply.body.len().abs_diff(LARGE_BYTES) < LARGE_BYTES / 10, "{}", reply.body.len());
}

#[test]
fn replies_that_nobody_waits_for_give_their_room_back() {
    let options = ServerOptions {
        replies_limit: 1 << 20,
        reply_memory_timeout: Duration::from_secs(20),
        ..Default::default()
    };
    let (server, path) = with_large_job("left", options);
    for _ in 0..8 {
        drop(server.send("GET", &path, "", b""));
    }
    let began = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(server.get(&path).status, 200);
}

#[test]
fn a_client_that_knows_no_base64_gets_a_large_text_in_both_places() {
    let server = start(ServerOptions::default());
    let code = "a line of \u{1b}[31mred\u{1b}[0m text, \"quoted\"\n".repeat(30_000);
    let body = serde_json::json!({"language": "python", "code": code}).to_string();
    let id = server.call("POST", "/execute", "", body.as_bytes()).text("job_id");
    let job = server.get(&format!("/jobs/{id}")).json();
    assert_eq!(job["stdout"], code.as_str());
    assert_eq!(job["result"]["stdout"], code.as_str());
    let (server, path) = with_large_job("whole", ServerOptions::default());
    let mut wire = server.send("GET", &path, "", b"");
    let reply = read_reply(&mut wire);
    assert!(reply.body.len() < 8 << 20, "{} bytes", reply.body.len());
    let job = reply.json();
    for place in [&job, &job["result"]] {
        assert_eq!(place["stderr"].as_str().unwrap(), "\0".repeat(64 << 10), "its beginning");
    }
    let whole = job["result"]["stderr_base64"].as_str().unwrap();
    assert_eq!(whole.len(), (1 + (1usize << 20)).div_ceil(3) * 4, "all of it");
}

#[test]
fn a_reply_that_nobody_takes_is_given_up_on_a_unix_socket_too() {
    let options = ServerOptions {
        replies_limit: 1 << 20,
        reply_time: Duration::from_millis(200),
        reply_memory_timeout: Duration::from_secs(20),
        ..Default::default()
    };
    let (server, path) = with_large_job("untaken", options);
    let mut untaken = server.send("GET", &path, "", b"");
    untaken.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(server.get(&path).status, 200, "its room is free again");
    let mut rest = Vec::new();
    let _ = untaken.read_to_end(&mut rest);
    assert!(rest.len() < 2 << 20, "{} bytes came all the same", rest.len());
}

#[test]
fn a_reply_that_is_taken_too_slowly_is_given_up_however_steadily() {
    // More than anyone takes in these steps.
    let options = ServerOptions {
        reply_time: Duration::from_millis(300),
        reply_rate: u32::MAX,
        ..Default::default()
    };
    let (server, path) = with_large_job("slow", options);
    let mut slow = server.send("GET", &path, "", b"");
    let (mut taken, mut piece) = (0, vec![0; 32 << 10]);
    loop {
        match slow.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => taken += bytes,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(taken < LARGE_BYTES / 2, "all of it was sent: {taken} bytes");
}
