// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whom the client trusts, against a TLS server with certificates made on the spot.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use unsandbox::{Client, ErrorCode, Request};

const OK: &str = r#"{"success":true,"stdout":"hi\n","exit_code":0}"#;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate `authority` signed for `name`; its URL says `localhost`.
fn server(authority: &Authority, name: &str, expired: bool) -> String {
    let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
    if expired {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let config = config.clone();
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut tls = StreamOwned::new(connection, socket.unwrap());
                let mut request = Vec::new();
                let mut byte = [0];
                // The body is two bytes of a known length; only its end matters here.
                while !request.ends_with(b"print(1)\",\"network_mode\":\"zerotrust\",\"ttl\":60}") {
                    match tls.read(&mut byte) {
                        Ok(1) => request.push(byte[0]),
                        _ => return,
                    }
                }
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", OK.len());
                let _ = tls.write_all(format!("{head}{OK}").as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            });
        }
    });
    url
}

fn ca_file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("unsandbox-{name}-{}.pem", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

fn call(url: &str, ca_file: Option<&PathBuf>) -> Result<(), unsandbox::Error> {
    let builder = Client::builder().base_url(url).api_key("k");
    let builder = match ca_file {
        Some(path) => builder.ca_file(path),
        None => builder,
    };
    let result = builder.build()?.execute(&Request::new("python", "print(1)"))?;
    assert_eq!(result.stdout, b"hi\n");
    Ok(())
}

#[test]
fn only_the_right_certificate_is_trusted() {
    let ours = authority();
    let path = ca_file("ca", &ours.pem());
    let good = server(&ours, "localhost", false);
    call(&good, Some(&path)).unwrap();
    for (why, url, ca) in [
        ("unknown authority", good.clone(), None),
        ("another authority", server(&authority(), "localhost", false), Some(&path)),
        ("wrong host", server(&ours, "example.com", false), Some(&path)),
        ("expired", server(&ours, "localhost", true), Some(&path)),
    ] {
        let error = call(&url, ca).unwrap_err();
        assert_eq!(
            (error.code(), error.may_have_run()),
            (ErrorCode::Tls, false),
            "{why}: {error:?}"
        );
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn plain_http_is_not_mistaken_for_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        // Reads the hello, so that closing does not reset the answer.
        let _ = socket.read(&mut [0; 4096]).unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let error = call(&url, None).unwrap_err();
    server.join().unwrap();
    assert_eq!(error.code(), ErrorCode::Tls, "{error:?}");
}

#[test]
fn a_ca_file_that_is_none() {
    for (name, content) in
        [("empty", ""), ("text", "hello"), ("bad", "-----BEGIN CERTIFICATE-----\n!\n")]
    {
        let path = ca_file(name, content);
        let error = call("https://localhost:1", Some(&path)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config, "{name}: {error:?}");
        std::fs::remove_file(path).unwrap();
    }
    let missing = PathBuf::from("/nonexistent/ca.pem");
    assert_eq!(call("https://localhost:1", Some(&missing)).unwrap_err().code(), ErrorCode::Config);
}
