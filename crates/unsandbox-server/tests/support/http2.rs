// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of HTTP/2 for one connection, and the frames of clients that keep no rules.
#![allow(dead_code)]

use crate::support::{self, Reply, Running, TEST_TIMEOUT};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use std::net::TcpStream;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A connection. Its streams are of the runtime that made it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    pub scheme: &'static str,
}

pub async fn connect(server: &Running) -> Connection {
    match server.address.strip_prefix("unix:") {
        Some(path) => handshake(tokio::net::UnixStream::connect(path).await.unwrap(), None).await,
        None => handshake(tokio::net::TcpStream::connect(server.host()).await.unwrap(), None).await,
    }
}

/// `window`: bytes of a reply that the server may send before it is asked for more; all replies together may have any number.
pub async fn handshake<S>(stream: S, window: Option<u32>) -> Connection
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = h2::client::Builder::new();
    if let Some(window) = window {
        builder.initial_window_size(window).initial_connection_window_size(1 << 30);
    }
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Connection { sender, scheme: "http" }
}

impl Connection {
    /// Sends a head, with headers as `name: value` lines; the body follows if `has_body`.
    pub async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        has_body: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let uri = format!("{}://localhost{path}", self.scheme);
        let mut request = http::Request::builder().method(method).uri(uri);
        for line in headers.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name.to_ascii_lowercase(), value);
        }
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(request.body(()).unwrap(), !has_body)
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Result<ResponseFuture, h2::Error> {
        let (reply, mut stream) = self.begin(method, path, headers, true).await?;
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        Ok(reply)
    }

    pub async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let reply = self.send(method, path, headers, body).await.unwrap();
        read(reply).await.unwrap()
    }

    pub async fn execute(&self, headers: &str, code: &str) -> Reply {
        self.call("POST", "/execute", headers, &support::execute_body(code)).await
    }
}

/// The reply to a request, in the form of those of HTTP/1.
pub async fn read(reply: ResponseFuture) -> Result<Reply, h2::Error> {
    let read = async {
        let (head, mut body) = reply.await?.into_parts();
        let bytes = read_body(&mut body).await?;
        let mut lines = String::new();
        for (name, value) in &head.headers {
            lines += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        let body = String::from_utf8(bytes).unwrap();
        Ok(Reply { status: head.status.as_u16(), head: lines.to_ascii_lowercase(), body })
    };
    tokio::time::timeout(TEST_TIMEOUT, read).await.expect("the reply never came")
}

pub async fn read_body(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// The host of a request, localhost, in HPACK without entries of its table; and all of `GET /health`.
pub const HOST: &[u8] = b"\x01\x09localhost";
pub const GET_HEALTH: &[u8] = b"\x82\x86\x04\x07/health\x01\x09localhost";

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A TCP connection that has sent the beginning of HTTP/2.
pub fn raw(server: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(server.host()).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    std::io::Write::write_all(&mut stream, PREFACE).unwrap();
    std::io::Write::write_all(&mut stream, &frame(SETTINGS, 0, 0, b"")).unwrap();
    stream
}

/// A client that believes any certificate of these bytes, and speaks one of these protocols.
pub fn trusting(certificate: &str, protocols: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    Arc::new(config)
}
