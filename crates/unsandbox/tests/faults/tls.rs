// SPDX-License-Identifier: MIT OR Apache-2.0
//! Servers that cannot be trusted, and handshakes that go wrong.

use crate::authority::{Authority, Server, authority, ca_file, self_signed, server};
use crate::table::{Outcome, Row, end_of};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use unsandbox::{ClientBuilder, Request, Timeouts};

/// A ServerHello of TLS 1.1, in a record of its own: 32 random bytes, no session, AES128-SHA.
const HELLO_OF_TLS_1_1: [&[u8]; 3] =
    [b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02", &[7; 32], b"\x00\x00\x2f\x00"];

pub fn rows() -> Vec<Row> {
    vec![
        Row::own("certificate of an authority that `ca_file` has", "answered; 1", || {
            let ours = authority();
            trusting(&ours, &server(&ours, "localhost", false))
        }),
        Row::own("certificate of an unknown authority", "TLS; 0", || {
            trusting(&authority(), &server(&authority(), "localhost", false))
        }),
        Row::own("certificate of a private authority, without `ca_file`", "TLS; 0", || {
            let server = server(&authority(), "localhost", false);
            submit(crate::client_of(&server.url), || server.submissions())
        }),
        Row::own("self-signed certificate", "TLS; 0", || trusting(&authority(), &self_signed())),
        Row::own("certificate for another host", "TLS; 0", || {
            let ours = authority();
            trusting(&ours, &server(&ours, "example.com", false))
        }),
        Row::own("expired certificate", "TLS; 0", || {
            let ours = authority();
            trusting(&ours, &server(&ours, "localhost", true))
        }),
        Row::own("plain HTTP where TLS is expected", "TLS; 0", || {
            answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec())
        }),
        Row::own("a server that knows no more than TLS 1.1", "TLS; 0", || {
            answering(HELLO_OF_TLS_1_1.concat())
        }),
        Row::own("handshake that is cut", "CONNECT; 0", || answering(Vec::new())),
        Row::own("handshake that hangs, until the limit of connecting", "CONNECT; 0", hanging)
            .within(1000),
    ]
}

fn submit(client: ClientBuilder, submissions: impl Fn() -> usize) -> Outcome {
    let end = client.build().unwrap().execute(&Request::new("python", "print(1)"));
    Outcome { end: end_of(&end), submissions: submissions(), runs: submissions() }
}

/// What comes of a call to `server` where only `trusted` is trusted.
fn trusting(trusted: &Authority, server: &Server) -> Outcome {
    let port = server.url.rsplit(':').next().unwrap();
    let path = ca_file(&format!("fault-{port}"), &trusted.pem());
    let outcome = submit(crate::client_of(&server.url).ca_file(&path), || server.submissions());
    std::fs::remove_file(path).unwrap();
    outcome
}

/// A server that says `answer` to each hello, and nothing more.
fn answering(answer: Vec<u8>) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            // Read, so that closing does not reset the answer.
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(&answer);
        }
    });
    submit(crate::client_of(&url), || 0)
}

fn hanging() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let timeouts = Timeouts { connect: Duration::from_millis(200), ..Timeouts::default() };
    submit(crate::client_of(&url).timeouts(timeouts).retries(0), || 0)
}
