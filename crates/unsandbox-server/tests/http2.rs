// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTTP/2: the same replies as over HTTP/1, streams that count as connections do, and clients that break its rules.

#[path = "support/http2.rs"]
mod http2;
mod support;

use http2::{
    CONTINUATION, END_HEADERS, END_STREAM, GET_HEALTH, HEADERS, HOST, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, connect, frame, raw, read, runtime,
};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::exposition::Exposition;
use support::{
    Running, TEST_TIMEOUT, Wire, execute_body, keyed, read_reply, request, start, start_at,
};
use unsandbox_protocol::Status;
use unsandbox_server::{Listen, ServerOptions};

const KEY: &str = "authorization: Bearer the-key";
const OTHER_KEY: &str = "authorization: Bearer other-key";

#[test]
fn replies_are_those_of_http_1() {
    let path = std::env::temp_dir().join(format!("us-http2-{}", std::process::id()));
    let unix = start_at(&format!("unix:{}", path.display()), ServerOptions::default());
    for server in [&start(ServerOptions::default()), &unix] {
        runtime().block_on(async {
            let connection = connect(server).await;
            let reply = connection.execute("", "said").await;
            assert_eq!((reply.status, reply.text("stdout").as_str()), (200, "said"));
            let refused = connection.call("GET", "/nowhere", "", "").await;
            assert_eq!(refused.status, server.get("/nowhere").status);
            let large = connection.execute("", "large").await;
            assert_eq!(large.body.len(), server.execute("large").body.len());
        });
    }
}

#[test]
fn streams_answer_beside_each_other() {
    let server = start(ServerOptions::default());
    runtime().block_on(async {
        let connection = connect(&server).await;
        let held = connection.send("POST", "/execute", "", &execute_body("hold")).await.unwrap();
        server.backend.wait_for(&Status::Running, 1);
        assert_eq!(connection.execute("", "quick").await.text("stdout"), "quick");
        server.backend.release();
        assert_eq!(read(held).await.unwrap().text("status"), "completed");
    });
}

#[test]
fn a_run_is_cancelled_when_its_stream_is_reset() {
    let server = start(ServerOptions::default());
    runtime().block_on(async {
        let connection = connect(&server).await;
        let held = connection.send("POST", "/execute", "", &execute_body("hold")).await.unwrap();
        server.backend.wait_for(&Status::Running, 1);
        drop(held);
        server.backend.wait_for(&Status::Cancelled, 1);
        assert_eq!(connection.execute("", "goes on").await.status, 200);
    });
}

/// With 16 places a party alone has 12 runs, whether they come on one connection or on many.
#[test]
fn runs_of_many_streams_have_the_share_of_as_many_connections() {
    let server = start(ServerOptions { connections: 16, ..keyed("the-key,other-key") });
    runtime().block_on(async {
        let connection = connect(&server).await;
        let body = execute_body("hold");
        let mut replies = Vec::new();
        for _ in 0..12 {
            replies.push(connection.send("POST", "/execute", KEY, &body).await.unwrap());
        }
        server.backend.wait_for(&Status::Running, 12);
        for _ in 0..30 {
            connection
                .call("POST", "/execute", KEY, &body)
                .await
                .refused(429, "rate_limit_exceeded");
        }
        let other = connect(&server).await;
        assert_eq!(other.execute(OTHER_KEY, "heard").await.text("stdout"), "heard");
        server.backend.release();
        for reply in replies {
            assert_eq!(read(reply).await.unwrap().text("status"), "completed");
        }
        assert_eq!(server.backend.submissions(), 13);
    });
}

fn with_metrics(connections: usize, keys: &str) -> Running {
    let metrics_listen = Some(Listen::Tcp("127.0.0.1:0".to_string()));
    start(ServerOptions { connections, metrics_listen, ..keyed(keys) })
}

/// Waits until so many connections, or streams, wait for this.
fn wait_for_connections(server: &Running, stage: &str, count: f64) {
    wait_for_gauge(server, "unsandbox_connections", stage, count);
}

fn wait_for_gauge(server: &Running, gauge: &str, labels: &str, value: f64) {
    let until = Instant::now() + TEST_TIMEOUT;
    let address = server.metrics.as_ref().unwrap().strip_prefix("http://").unwrap();
    loop {
        let mut stream: Box<dyn Wire> = Box::new(TcpStream::connect(address).unwrap());
        stream.write_all(&request(address, "GET", "/metrics", "", b"")).unwrap();
        let read = Exposition::read(&read_reply(&mut *stream).body);
        if read.value(gauge, labels) == value {
            return;
        }
        assert!(Instant::now() < until, "{:?}", read.samples(gauge));
    }
}

/// Bodies that never come, on the streams of one connection, have all places; another key gets one of them.
#[test]
fn streams_are_evicted_as_connections_are() {
    let server = with_metrics(8, "the-key,other-key");
    runtime().block_on(async {
        let connection = connect(&server).await;
        let held = connection.send("POST", "/execute", KEY, &execute_body("hold")).await.unwrap();
        server.backend.wait_for(&Status::Running, 1);
        let (answered, mut answers) = tokio::sync::mpsc::channel(7);
        let mut bodies = Vec::new();
        for _ in 0..7 {
            let (reply, body) = connection.begin("POST", "/execute", KEY, true).await.unwrap();
            bodies.push(body);
            let answered = answered.clone();
            tokio::spawn(async move { answered.send(read(reply).await).await });
        }
        wait_for_connections(&server, "stage=\"body\"", 7.0);
        let reply = server.call(
            "POST",
            "/execute",
            "Authorization: Bearer other-key\r\n",
            execute_body("heard").as_bytes(),
        );
        assert_eq!(reply.text("stdout"), "heard");
        answers.recv().await.unwrap().unwrap().refused(503, "busy");
        // Neither the connection nor its run has ended.
        server.backend.release();
        assert_eq!(read(held).await.unwrap().text("status"), "completed");
    });
}

/// More requests than places, none of which ends before all places are in use.
#[test]
fn requests_of_one_client_wait_for_each_other() {
    for connections in [2, 4, 16] {
        let server = with_metrics(connections, "the-key,other-key");
        let ask = |key| server.call("POST", "/execute/async", key, execute_body("x").as_bytes());
        let path = format!("/jobs/{}", ask("Authorization: Bearer the-key\r\n").text("job_id"));
        runtime().block_on(async {
            let connection = connect(&server).await;
            server.backend.questions.close();
            let mut replies = Vec::new();
            for _ in 0..90 {
                let (reply, _) = connection.begin("GET", &path, KEY, false).await.unwrap();
                replies.push(reply);
            }
            wait_for_connections(&server, "stage=\"reply\"", connections as f64);
            server.backend.questions.open();
            for reply in replies {
                let reply = read(reply).await.expect("a reset, or a lost connection");
                assert_eq!(reply.status, 200, "{}", reply.body);
            }
            assert_eq!(connection.call("GET", "/health", "", "").await.status, 200);
        });
    }
}

/// Its streams have all places, and more of them wait.
#[test]
fn streams_of_one_client_leave_places_to_streams_of_another() {
    let server = with_metrics(16, "the-key,other-key");
    runtime().block_on(async {
        let connection = connect(&server).await;
        let mut bodies = Vec::new();
        for _ in 0..90 {
            bodies.push(connection.begin("POST", "/execute", KEY, true).await.unwrap());
        }
        wait_for_connections(&server, "stage=\"body\"", 16.0);
        let other = connect(&server).await;
        let body = execute_body("hold");
        let mut replies = Vec::new();
        for _ in 0..3 {
            replies.push(other.send("POST", "/execute", OTHER_KEY, &body).await.unwrap());
        }
        server.backend.wait_for(&Status::Running, 3);
        server.backend.release();
        for reply in replies {
            assert_eq!(read(reply).await.unwrap().text("status"), "completed");
        }
    });
}

/// What comes until the server closes the connection; it may reset it.
fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server did not close it");
    }
    bytes
}

#[test]
fn silent_connections_are_given_up() {
    let time = Duration::from_millis(300);
    let options = ServerOptions::default();
    let server =
        start(ServerOptions { first_head: time, read_timeout: time, reply_time: time, ..options });
    // Only the beginning, and a head that does not end.
    let unfinished = frame(HEADERS, END_STREAM, 1, GET_HEALTH);
    for words in [b"".to_vec(), unfinished] {
        let mut stream = raw(&server);
        stream.write_all(&words).unwrap();
        read_to_end(stream);
    }
    // One that is answered, and then asks nothing.
    let mut stream = raw(&server);
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_HEALTH)).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        rest.windows(11)
            .any(|words| words == b"process:".as_slice() || words.ends_with(b"\"status\""))
    );
}

#[test]
fn a_reply_that_is_not_taken_ends_its_stream_alone() {
    let reply_time = Duration::from_millis(300);
    let server = start(ServerOptions { reply_time, ..ServerOptions::default() });
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(server.host()).await.unwrap();
        let connection = http2::handshake(stream, Some(1000)).await;
        let held = connection.send("POST", "/execute", "", &execute_body("hold")).await.unwrap();
        server.backend.wait_for(&Status::Running, 1);
        let large = connection.send("POST", "/execute", "", &execute_body("large")).await.unwrap();
        let mut body = large.await.unwrap().into_body();
        // Its window stays closed.
        let error = loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("the whole reply came through a closed window"),
            }
        };
        assert!(error.is_reset(), "{error}");
        server.backend.release();
        assert_eq!(read(held).await.unwrap().text("status"), "completed");
    });
}

/// Each reply is one piece, for which its client has room; it takes all of them steadily and slowly.
#[test]
fn replies_that_are_taken_slowly_end_their_connection() {
    const REPLIES: u32 = 95;
    let path = std::env::temp_dir().join(format!("us-http2-slow-{}", std::process::id()));
    // More than anyone takes in these steps. The time is enough for the socket to have room again.
    let options = ServerOptions {
        reply_time: Duration::from_millis(600),
        reply_rate: u32::MAX,
        ..Default::default()
    };
    let server = start_at(&format!("unix:{}", path.display()), options);
    let id = server.execute(&"x".repeat(6 << 10)).text("job_id");
    let job = format!("/jobs/{id}");
    let length = server.get(&job).body.len();
    assert!((6 << 10..16 << 10).contains(&length), "{length}");
    let mut wire = std::os::unix::net::UnixStream::connect(&path).unwrap();
    wire.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let mut asked = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    asked.extend(frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes()));
    let head = [b"\x82\x86\x04".as_slice(), &[job.len() as u8], job.as_bytes(), HOST].concat();
    for number in 0..REPLIES {
        asked.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &head));
    }
    wire.write_all(&asked).unwrap();
    let (mut taken, mut piece) = (0, vec![0; 6 << 10]);
    while let Ok(bytes @ 1..) = wire.read(&mut piece) {
        taken += bytes;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(taken < length * REPLIES as usize * 3 / 4, "all of it was sent: {taken} bytes");
}

/// Its client has room for one byte, or for all but the last ten, and asks other things meanwhile.
#[test]
fn the_last_piece_of_a_reply_has_a_time_limit_a_place_and_its_memory() {
    let metrics_listen = Some(Listen::Tcp("127.0.0.1:0".to_string()));
    let reply_time = Duration::from_millis(500);
    let server = start(ServerOptions { reply_time, metrics_listen, ..ServerOptions::default() });
    let id = server.execute("large").text("job_id");
    let large = format!("/jobs/{id}");
    // The reply of the second is one piece.
    for path in [large.as_str(), "/languages"] {
        let length = u32::try_from(server.get(path).body.len()).unwrap();
        for window in [1, length - 10] {
            runtime().block_on(async {
                let stream = tokio::net::TcpStream::connect(server.host()).await.unwrap();
                let connection = http2::handshake(stream, Some(window)).await;
                let (reply, _) = connection.begin("GET", path, "", false).await.unwrap();
                let mut body = reply.await.unwrap().into_body();
                let ask = async {
                    loop {
                        assert_eq!(connection.call("GET", "/health", "", "").await.status, 200);
                    }
                };
                let end = async {
                    loop {
                        match body.data().await.expect("it came through a closed window") {
                            Ok(_) => {}
                            Err(error) => break error,
                        }
                    }
                };
                let error = tokio::select! {
                    error = tokio::time::timeout(TEST_TIMEOUT, end) => error.expect("a reset"),
                    () = ask => unreachable!(),
                };
                assert!(error.is_reset(), "{error}");
                assert_eq!(connection.call("GET", "/health", "", "").await.status, 200);
                wait_for_gauge(&server, "unsandbox_memory_bytes", "use=\"replies\"", 0.0);
                wait_for_connections(&server, "stage=\"reply\"", 0.0);
            });
        }
    }
}

/// Reads to the end of a connection; whether the server said why it closes it (GOAWAY).
fn said_goodbye(stream: TcpStream) -> bool {
    const GOAWAY: u8 = 7;
    let bytes = read_to_end(stream);
    let mut rest = bytes.as_slice();
    while let [a, b, c, kind, ..] = *rest {
        if kind == GOAWAY {
            return true;
        }
        let length = u32::from_be_bytes([0, a, b, c]) as usize + 9;
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

#[test]
fn rapid_resets_end_the_connection() {
    let server = start(ServerOptions::default());
    let mut stream = raw(&server);
    let mut flood = Vec::new();
    for number in 0..2000u32 {
        let id = 2 * number + 1;
        flood.extend(frame(HEADERS, END_STREAM | END_HEADERS, id, GET_HEALTH));
        flood.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
    }
    // The server may close before it has all of it.
    let _ = stream.write_all(&flood);
    assert!(said_goodbye(stream));
    assert_eq!(server.execute("heard").text("stdout"), "heard");
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let server = start(ServerOptions::default());
    let mut stream = raw(&server);
    let field = [b"\x00\x01a\x7f\x00".as_slice(), &[b'x'; 127]].concat();
    let mut flood = frame(HEADERS, END_STREAM, 1, GET_HEALTH);
    for _ in 0..5000 {
        flood.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let _ = stream.write_all(&flood);
    assert!(said_goodbye(stream));
    assert_eq!(server.execute("heard").text("stdout"), "heard");
}

#[test]
fn a_stop_lets_streams_end() {
    let mut server = start(ServerOptions { grace: Duration::from_secs(60), ..Default::default() });
    runtime().block_on(async {
        let connection = connect(&server).await;
        let held = connection.send("POST", "/execute", "", &execute_body("hold")).await.unwrap();
        server.backend.wait_for(&Status::Running, 1);
        server.stop.cancel();
        server.backend.release();
        assert_eq!(read(held).await.unwrap().text("status"), "completed");
    });
    server.join();
}

#[test]
fn both_versions_share_one_port() {
    let server = start(ServerOptions::default());
    let mut waiting = server.send("POST", "/execute", "", execute_body("hold").as_bytes());
    server.backend.wait_for(&Status::Running, 1);
    runtime().block_on(async {
        assert_eq!(connect(&server).await.execute("", "two").await.text("stdout"), "two");
    });
    server.backend.release();
    assert_eq!(read_reply(&mut waiting).status, 200);
}
