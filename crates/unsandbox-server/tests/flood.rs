// SPDX-License-Identifier: MIT OR Apache-2.0
//! Floods: more connections than there are places, of one key, one address or strangers, by everything that makes
//! a connection last. Others are answered within the bound of the documentation all the while.

mod support;

use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{Reply, Running, Wire, execute_body, keyed, read_reply, request, start, start_at};
use unsandbox_protocol::Status;
use unsandbox_server::ServerOptions;

/// Within this a connection has its place, whatever others do (docs/security.md, "A server").
const BOUND: Duration = Duration::from_secs(5);
const PLACES: usize = 64;
const FLOOD: usize = 100;

const A: &str = "Authorization: Bearer a\r\n";
const B: &str = "Authorization: Bearer b\r\n";
const C: &str = "Authorization: Bearer c\r\n";

/// Room for 64 connections, for the keys a, b, c and a pair.
fn small() -> ServerOptions {
    ServerOptions { connections: PLACES, ..keyed("a,b,c,pub:sec") }
}

fn at_socket(name: &str, options: ServerOptions) -> Running {
    let path = std::env::temp_dir().join(format!("us-{name}-{}.sock", std::process::id()));
    start_at(&format!("unix:{}", path.display()), options)
}

#[track_caller]
fn within_bound<T>(act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let output = act();
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    output
}

/// A request of another key runs and is answered, again and again.
#[track_caller]
fn answers(server: &Running, headers: &str) {
    for _ in 0..3 {
        let reply = within_bound(|| {
            server.call("POST", "/execute", headers, execute_body("heard").as_bytes())
        });
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.text("stdout"), "heard");
        assert_eq!(within_bound(|| server.call("GET", "/jobs", headers, b"")).status, 200);
    }
}

fn write_all(server: &Running, count: usize, text: &str) -> Vec<Box<dyn Wire>> {
    let open = |_| {
        let mut stream = server.connect();
        // One that had to go already does not take it.
        let _ = stream.write_all(text.as_bytes());
        stream
    };
    (0..count).map(open).collect()
}

/// A connection from an address of this machine.
fn connect_from(server: &Running, from: [u8; 4]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    let to: SocketAddr = server.host().parse().unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn job(server: &Running, headers: &str, code: &str) -> String {
    let body = execute_body(code);
    server.call("POST", "/execute/async", headers, body.as_bytes()).text("job_id")
}

fn body_head(headers: &str) -> String {
    format!("POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n{headers}\r\n")
}

#[test]
fn bodies_that_do_not_come_keep_no_other_key_out() {
    for wait in ["{", ""] {
        let server = start(small());
        let expect = if wait.is_empty() { "Expect: 100-continue\r\n" } else { "" };
        let flood =
            write_all(&server, FLOOD, &format!("{}{wait}", body_head(&format!("{A}{expect}"))));
        answers(&server, B);
        drop(flood);
    }
}

#[test]
fn bodies_under_a_claimed_key_keep_its_owner_out_no_more_than_anyone() {
    let server = start(small());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let forged = format!(
        "Authorization: Bearer pub\r\nX-Timestamp: {now}\r\nX-Signature: {}\r\n",
        "0".repeat(64)
    );
    let mut own = server.send("POST", "/execute", "Authorization: Bearer sec\r\n", b"{");
    read_reply(own.as_mut()).refused(400, "invalid_request");
    let _flood = write_all(&server, FLOOD, &format!("{}{{", body_head(&forged)));
    answers(&server, "Authorization: Bearer sec\r\n");
    answers(&server, B);
}

#[test]
fn a_body_that_has_to_make_room_is_told_so() {
    let server = start(ServerOptions { connections: 2, ..small() });
    let mut slow = server.connect();
    slow.write_all(body_head(&format!("{A}Expect: 100-continue\r\n")).as_bytes()).unwrap();
    let mut waits = [0; 25];
    slow.read_exact(&mut waits).unwrap();
    assert_eq!(&waits, b"HTTP/1.1 100 Continue\r\n\r\n");
    let _others = write_all(&server, 3, &format!("{}{{", body_head(A)));
    let reply = read_reply(slow.as_mut());
    reply.refused(503, "busy");
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    assert!(reply.head.contains("connection: close"), "{}", reply.head);
}

#[test]
fn heads_that_do_not_come_keep_no_key_out() {
    let server = start(small());
    // At the beginning, and after a request of a key.
    let _flood = write_all(&server, FLOOD, "GET /jobs HTTP/1.1\r\nHo");
    answers(&server, B);
    let after = format!("GET /jobs HTTP/1.1\r\nHost: localhost\r\n{A}\r\nGET /jobs HTTP/1.1\r\nHo");
    let _flood = write_all(&server, FLOOD, &after);
    answers(&server, B);
}

#[test]
fn methods_that_are_no_operations_keep_no_key_out() {
    let server = start(small());
    for method in ["HEAD", "OPTIONS"] {
        let asked = format!("{method} /jobs HTTP/1.1\r\nHost: localhost\r\n{A}\r\n").repeat(20);
        let _flood = write_all(&server, FLOOD, &asked);
        answers(&server, B);
    }
}

#[test]
fn long_polls_that_are_renewed_keep_no_other_key_out_and_are_answered() {
    let server = start(small());
    let poll = format!("/jobs/{}?wait=30", job(&server, A, "hold"));
    let stop = AtomicBool::new(false);
    let (answered, early) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..PLACES + 16 {
            let answered = answered.clone();
            let (server, poll, stop) = (&server, &poll, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let mut reply = String::new();
                    // One that does not wait for the job's end yet may be closed without a word.
                    let _ = server.send("GET", poll, A, b"").read_to_string(&mut reply);
                    if !reply.is_empty() {
                        let _ = answered.send(reply);
                    }
                }
            });
        }
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // One that is closed before it waits for the job is told to come again.
            let is_poll = |reply: &String| !reply.contains("\"error\":\"busy\"");
            let next = || early.recv_timeout(BOUND).unwrap();
            let reply = std::iter::repeat_with(next).find(is_poll).unwrap();
            assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("running"), "{reply}");
            answers(&server, B);
        }));
        stop.store(true, Ordering::SeqCst);
        server.backend.release();
        seen.unwrap();
    });
}

#[test]
fn replies_that_are_not_read_keep_no_other_key_out() {
    let server = at_socket("unread", small());
    let large = format!("/jobs/{}", job(&server, A, "large"));
    let _flood: Vec<_> = (0..FLOOD).map(|_| server.send("GET", &large, A, b"")).collect();
    answers(&server, B);
    let large = format!("/jobs/{}", job(&server, B, "large"));
    assert_eq!(server.call("GET", &large, B, b"").status, 200);
}

#[test]
fn small_replies_that_are_not_read_keep_no_other_key_out() {
    let server = at_socket("pipelined", small());
    // The requests fit in a socket, their replies do not.
    let many = format!("GET /jobs HTTP/1.1\r\nHost: localhost\r\n{A}\r\n").repeat(1500);
    let _flood = write_all(&server, FLOOD, &many);
    answers(&server, B);
}

#[test]
fn waiting_runs_have_a_share_and_leave_places_for_other_keys() {
    let server = start(small());
    let hold = execute_body("hold");
    let mut runs: Vec<_> =
        (0..PLACES).map(|_| server.send("POST", "/execute", A, hold.as_bytes())).collect();
    server.backend.wait_for(&Status::Running, PLACES / 4 * 3);
    let refused = within_bound(|| server.call("POST", "/execute", A, hold.as_bytes()));
    let message = refused.refused(429, "rate_limit_exceeded");
    assert!(message.contains("has 48 of 64 connections"), "{message}");
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    answers(&server, B);
    // The key itself still asks for its jobs, and submits more.
    assert_eq!(within_bound(|| server.call("GET", "/jobs/job-1", A, b"")).status, 200);
    within_bound(|| job(&server, A, "hold"));
    let more: Vec<_> =
        (0..PLACES).map(|_| server.send("POST", "/execute", B, hold.as_bytes())).collect();
    server.backend.wait_for(&Status::Running, PLACES / 4 * 3 + 1 + 8);
    assert_eq!(within_bound(|| server.call("GET", "/jobs", C, b"")).status, 200);
    drop(more);
    server.backend.release();
    let answered: Vec<Reply> = runs.iter_mut().map(|run| read_reply(run.as_mut())).collect();
    let of_status = |status| answered.iter().filter(|reply| reply.status == status).count();
    // One may have had to make room before it was refused.
    assert_eq!((of_status(200), of_status(429) + of_status(503)), (48, 16));
}

#[test]
fn a_run_that_its_share_refuses_leaves_its_key_free() {
    let server = start(ServerOptions { connections: 16, ..keyed("a") });
    let hold = execute_body("hold");
    let mut runs: Vec<_> =
        (0..12).map(|_| server.send("POST", "/execute", A, hold.as_bytes())).collect();
    server.backend.wait_for(&Status::Running, 12);
    let headers = format!("{A}Idempotency-Key: k\r\n");
    let send =
        |code: &str| server.call("POST", "/execute", &headers, execute_body(code).as_bytes());
    send("hold").refused(429, "rate_limit_exceeded");
    server.backend.release();
    for run in &mut runs {
        assert_eq!(read_reply(run.as_mut()).status, 200);
    }
    // Another body is a conflict where the key stands for the first.
    assert_eq!(send("heard").text("stdout"), "heard");
}

#[test]
fn one_address_keeps_no_other_address_out() {
    let server = start(ServerOptions { connections: PLACES, ..Default::default() });
    let flood: Vec<_> = (0..FLOOD)
        .map(|_| {
            let mut stream = connect_from(&server, [127, 0, 0, 2]);
            let _ = stream.write_all(format!("{}{{", body_head("")).as_bytes());
            stream
        })
        .collect();
    let hold = execute_body("hold");
    let bytes = request(server.host(), "POST", "/execute", "", hold.as_bytes());
    answers(&server, "");
    let _runs: Vec<_> = (0..PLACES)
        .map(|_| {
            let mut stream = connect_from(&server, [127, 0, 0, 2]);
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    server.backend.wait_for(&Status::Running, PLACES / 4 * 3);
    answers(&server, "");
    drop(flood);
}

/// A connection that stays, with a request that is answered.
fn kept(server: &Running, headers: &str) -> Box<dyn Wire> {
    let mut stream = server.connect();
    ask(stream.as_mut(), headers);
    stream
}

#[track_caller]
fn ask(stream: &mut dyn Wire, headers: &str) {
    let head = format!("GET /jobs HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = Vec::new();
    while !(reply.ends_with(b"}") && reply.windows(8).any(|text| text == b"\"count\":")) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
    }
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
}

#[test]
fn a_key_with_few_connections_loses_none_to_a_flood() {
    let server = start(small());
    let poll = format!("/jobs/{}?wait=30", job(&server, B, "hold"));
    let mut idle: Vec<_> = (0..5).map(|_| kept(&server, B)).collect();
    let mut polls: Vec<_> = (0..5).map(|_| server.send("GET", &poll, B, b"")).collect();
    let mut bodies = write_all(&server, 5, &body_head(B));
    server.backend.wait_for_sinks("job-1", 6);
    let of_a = format!("/jobs/{}?wait=30", job(&server, A, "hold"));
    let floods = [
        write_all(&server, FLOOD, &format!("{}{{", body_head(A))),
        (0..FLOOD).map(|_| server.send("GET", &of_a, A, b"")).collect(),
        write_all(&server, FLOOD, ""),
        write_all(&server, FLOOD, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    // Each stranger from an address of its own.
    let strangers: Vec<_> =
        (0..FLOOD).map(|n| connect_from(&server, [127, 0, 1, n as u8 + 1])).collect();
    answers(&server, C);
    for stream in &mut idle {
        ask(stream.as_mut(), B);
    }
    let body = execute_body("whole");
    for stream in &mut bodies {
        stream.write_all(body.as_bytes()).unwrap();
        stream.write_all(&vec![b' '; 1000 - body.len()]).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    server.backend.release();
    for stream in &mut polls {
        assert_eq!(read_reply(stream.as_mut()).text("status"), "completed");
    }
    drop((floods, strangers));
}

/// Sends bodies of which one byte never comes, until there is no memory for one more of the same key.
#[track_caller]
fn fill_with_bodies(server: &Running, headers: &str) -> Vec<Box<dyn Wire>> {
    let head =
        format!("POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n{headers}\r\n");
    let almost = head + &"#".repeat(99_999);
    let body = execute_body(&"x".repeat(90_000));
    let mut bodies = Vec::new();
    while server.call("POST", "/execute", headers, body.as_bytes()).status != 503 {
        assert!(bodies.len() < 20, "the key never has its share");
        bodies.extend(write_all(server, 1, &almost));
    }
    bodies
}

#[test]
fn bodies_of_some_keys_leave_memory_for_those_of_another() {
    let server = start(ServerOptions { bodies_limit: 1 << 20, ..small() });
    let body = execute_body(&"x".repeat(90_000));
    let of_a = fill_with_bodies(&server, A);
    let reply = within_bound(|| server.call("POST", "/execute", B, body.as_bytes()));
    assert_eq!(reply.status, 200, "{reply:?}");
    let of_b = fill_with_bodies(&server, B);
    let reply = within_bound(|| server.call("POST", "/execute", C, body.as_bytes()));
    assert_eq!(reply.status, 200, "{reply:?}");
    drop((of_a, of_b));
}

#[test]
fn a_body_that_is_given_up_for_memory_says_so() {
    let server = start(ServerOptions { bodies_limit: 1 << 20, ..small() });
    let mut of_a = fill_with_bodies(&server, A);
    let body = execute_body(&"x".repeat(300_000));
    // Not in time on a machine that stalls.
    let mut answers = (0..10).map(|_| server.call("POST", "/execute", B, body.as_bytes()).status);
    assert!(answers.any(|status| status == 200));
    let message = read_reply(of_a[0].as_mut()).refused(503, "busy");
    assert!(message.contains("memory") && !message.contains("connections"), "{message}");
}

#[test]
fn a_body_that_drips_is_given_up_with_the_reason() {
    let read_timeout = Duration::from_millis(200);
    let server = start(ServerOptions { read_timeout, ..small() });
    let mut stream = TcpStream::connect(server.host()).unwrap();
    stream.write_all(body_head(A).as_bytes()).unwrap();
    stream.set_read_timeout(Some(read_timeout / 10)).unwrap();
    let mut reply = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    // A byte for each time that nothing comes back.
    while !reply.ends_with(b"}") {
        assert!(Instant::now() < deadline, "it drips for ever");
        let mut some = [0; 4096];
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(&some[..count]),
            Err(_) => stream.write_all(b" ").unwrap(),
        }
    }
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 408 "), "{reply}");
    assert!(reply.contains(" bytes in ") && reply.contains(" 0.2 s without a byte"), "{reply}");
}
