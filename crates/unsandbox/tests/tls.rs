// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whom the client trusts, against a TLS server with certificates made on the spot.

mod authority;

use authority::{authority, ca_file, self_signed, server};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use unsandbox::{Client, ErrorCode, Request};

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
    call(&good.url, Some(&path)).unwrap();
    let (stranger, elsewhere) = (authority(), server(&ours, "example.com", false));
    for (why, url, ca) in [
        ("unknown authority", good.url.clone(), None),
        ("another authority", server(&stranger, "localhost", false).url, Some(&path)),
        ("wrong host", elsewhere.url.clone(), Some(&path)),
        ("expired", server(&ours, "localhost", true).url, Some(&path)),
        ("self-signed", self_signed().url, Some(&path)),
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
        // For what the client asks before its submission, and for that.
        for socket in listener.incoming().take(2) {
            let mut socket = socket.unwrap();
            // Reads the hello, so that closing does not reset the answer.
            let _ = socket.read(&mut [0; 4096]).unwrap();
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
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

/// What this system trusts is told to it by SSL_CERT_FILE, which is read once: a process of its own.
#[cfg(feature = "platform-verifier")]
#[test]
fn the_platform_judges_where_it_is_asked_to() {
    const AGAIN: &str = "UNSANDBOX_TEST_PLATFORM_URL";
    if let Ok(url) = std::env::var(AGAIN) {
        let builder = Client::builder().base_url(url).api_key("k").platform_verifier();
        let result = builder.build().unwrap().execute(&Request::new("python", "print(1)"));
        println!("platform: {:?}", result.map(|it| it.success).map_err(|error| error.code()));
        return;
    }
    let ours = authority();
    let path = ca_file("platform", &ours.pem());
    for (server, expected) in [
        (server(&ours, "localhost", false), "Ok(true)"),
        (server(&authority(), "localhost", false), "Err(Tls)"),
        (server(&ours, "example.com", false), "Err(Tls)"),
    ] {
        let itself = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["the_platform_judges_where_it_is_asked_to", "--exact", "--nocapture"])
            .env(AGAIN, &server.url)
            .env("SSL_CERT_FILE", &path)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&itself.stdout);
        assert!(said.contains(&format!("platform: {expected}")), "{expected}: {said}");
    }
    std::fs::remove_file(path).unwrap();
}
