// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TLS server with a certificate made on the spot, by an authority made on the spot.
#![allow(dead_code)]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OK: &str = r#"{"success":true,"stdout":"hi\n","exit_code":0}"#;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that answers every submission; its URL says `localhost`.
pub struct Server {
    pub url: String,
    submissions: Arc<AtomicUsize>,
}

impl Server {
    /// How many requests arrived whole.
    pub fn submissions(&self) -> usize {
        self.submissions.load(Ordering::SeqCst)
    }
}

/// A server whose certificate `authority` signed for `name`.
pub fn server(authority: &Authority, name: &str, expired: bool) -> Server {
    let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
    if expired {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    serve(certificate.der().clone(), &key)
}

/// A server whose certificate nobody signed but itself.
pub fn self_signed() -> Server {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    serve(certificate.der().clone(), &key)
}

fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> Server {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let submissions = Arc::new(AtomicUsize::new(0));
    let count = submissions.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (config, count) = (config.clone(), count.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                answer(StreamOwned::new(connection, socket.unwrap()), &count);
            });
        }
    });
    Server { url, submissions }
}

fn answer(mut tls: StreamOwned<ServerConnection, TcpStream>, count: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !is_whole(&request) {
        match tls.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    if request.starts_with(b"POST") {
        count.fetch_add(1, Ordering::SeqCst);
    }
    // It closes the connection, and says so: a client would use it again.
    let head =
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", OK.len());
    let _ = tls.write_all(format!("{head}{OK}").as_bytes());
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

/// Whether the head is there, and as much of a body as it announces.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| length.parse() == Ok(body.len()))
}

pub fn ca_file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("unsandbox-{name}-{}.pem", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}
