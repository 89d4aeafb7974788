// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS: both versions of HTTP over it, a certificate that is replaced, and handshakes that do not end.

#[path = "support/http2.rs"]
mod http2;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use support::{Reply, Running, TEST_TIMEOUT, execute_body, request, start};
use unsandbox_server::{Listen, Server, ServerOptions, Tls};

type TlsStream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A certificate of this run, and its key.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn encrypted(options: ServerOptions) -> (Running, Arc<Tls>, String) {
    let (certificate, key) = pair();
    let tls = Arc::new(Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap());
    let server = start(ServerOptions { tls: Some(tls.clone()), ..options });
    assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);
    (server, tls, certificate)
}

fn host(server: &Running) -> &str {
    server.address.strip_prefix("https://").unwrap()
}

fn connect(server: &Running, certificate: &str) -> TlsStream {
    let config = http2::trusting(certificate, &[b"http/1.1"]);
    let stream = TcpStream::connect(host(server)).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    rustls::StreamOwned::new(session, stream)
}

fn execute(stream: &mut TlsStream, code: &str) -> std::io::Result<Reply> {
    stream.write_all(&request(
        "localhost",
        "POST",
        "/execute",
        "",
        execute_body(code).as_bytes(),
    ))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Reply { status, head: head.to_ascii_lowercase(), body: body.to_string() })
}

#[test]
fn http_1_over_tls_is_answered() {
    let (server, _, certificate) = encrypted(ServerOptions::default());
    let reply = execute(&mut connect(&server, &certificate), "over tls").unwrap();
    assert_eq!((reply.status, reply.text("stdout").as_str()), (200, "over tls"));
}

#[test]
fn http_2_is_agreed_on_in_the_handshake() {
    let (server, _, certificate) = encrypted(ServerOptions::default());
    http2::runtime().block_on(async {
        let config = http2::trusting(&certificate, &[b"h2", b"http/1.1"]);
        let stream = tokio::net::TcpStream::connect(host(&server)).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut connection = http2::handshake(stream, None).await;
        connection.scheme = "https";
        let reply = connection.execute("", "over h2").await;
        assert_eq!((reply.status, reply.text("stdout").as_str()), (200, "over h2"));
    });
}

#[test]
fn a_replaced_certificate_is_that_of_new_connections() {
    let (server, tls, first) = encrypted(ServerOptions::default());
    let mut open = connect(&server, &first);
    open.conn.complete_io(&mut open.sock).unwrap();
    let (second, key) = pair();
    tls.replace(second.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(execute(&mut connect(&server, &second), "new").unwrap().text("stdout"), "new");
    execute(&mut connect(&server, &first), "distrusted").unwrap_err();
    assert_eq!(execute(&mut open, "old").unwrap().text("stdout"), "old", "an open one goes on");
}

#[test]
fn a_handshake_that_does_not_end_is_a_silent_connection() {
    let first_head = Duration::from_millis(200);
    let (server, _, certificate) =
        encrypted(ServerOptions { first_head, connections: 3, ..ServerOptions::default() });
    // Nothing, the beginning of a handshake, and words without TLS, more than there are places.
    let silent: Vec<TcpStream> = ["", "\x16\x03\x01\x02", ""]
        .into_iter()
        .cycle()
        .take(6)
        .map(|words| {
            let mut stream = TcpStream::connect(host(&server)).unwrap();
            stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(execute(&mut connect(&server, &certificate), "heard").unwrap().status, 200);
    for mut stream in silent {
        let mut rest = Vec::new();
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server did not close it");
        }
        // An alert at most.
        assert!(rest.is_empty() || rest[0] == 0x15, "{rest:?}");
    }
    // After the handshake, too.
    let mut stream = connect(&server, &certificate);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    let end = stream.read(&mut [0]);
    let timed_out = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
    assert!(end.as_ref().err().is_none_or(|error| !timed_out(error)), "{end:?}");
}

#[test]
fn plain_http_to_a_server_with_tls_runs_nothing() {
    let (server, _, _) = encrypted(ServerOptions::default());
    let mut stream = TcpStream::connect(host(&server)).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let body = execute_body("plain");
    stream.write_all(&request("localhost", "POST", "/execute", "", body.as_bytes())).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(server.backend.submissions(), 0);
}

#[test]
fn a_unix_socket_takes_no_certificate() {
    let (certificate, key) = pair();
    let tls = Some(Arc::new(Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()));
    let path = std::env::temp_dir().join(format!("us-tls-{}", std::process::id()));
    let server = Server::new(
        Arc::new(support::Fake::default()),
        ServerOptions { tls, ..ServerOptions::default() },
    );
    let error = server.bind(&Listen::Unix(path.clone())).unwrap_err();
    assert!(error.message().contains("Unix socket"), "{error}");
    assert!(!path.exists());
}
