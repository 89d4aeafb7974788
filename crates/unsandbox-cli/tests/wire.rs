// SPDX-License-Identifier: MIT OR Apache-2.0
//! How `unsandbox serve` is reached: with TLS whose certificate is replaced, and behind a proxy.

#[path = "shell/logged.rs"]
mod logged;
mod shell;

use logged::Logged;
use shell::{call, scratch, signal};
use std::fs::{Permissions, write};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a certificate for localhost, and its key with a mode.
fn write_pair(directory: &Path, mode: u32) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    let key = directory.join("key.pem");
    write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(key, Permissions::from_mode(mode)).unwrap();
}

/// Runs a program there with a client that trusts the certificate in the directory.
fn run(server: &Logged, directory: &Path) -> shell::Ended {
    let port = server.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let ca = directory.join("cert.pem");
    let words = ["run", "--url", &url, "--ca-file", ca.to_str().unwrap(), "-l", "bash", "-c"];
    call(&[&words[..], &["echo over tls"]].concat())
}

#[test]
fn a_certificate_is_read_again_and_a_broken_one_changes_nothing() {
    let directory = scratch("serve-tls");
    write_pair(&directory, 0o600);
    let file = |name: &str| directory.join(name).to_str().unwrap().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let pair = ["--tls-cert", &certificate, "--tls-key", &key];
    let mut server = Logged::serve(&[&["--listen", "127.0.0.1:0"][..], &pair].concat());
    assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);
    assert_eq!(run(&server, &directory).out, "over tls\n");

    let before = std::fs::read(&certificate).unwrap();
    write(&certificate, "no certificate").unwrap();
    signal(&server.child, "HUP");
    let why = server.wait_for_log("the TLS certificate stays as it was");
    assert!(why.contains("ERROR") && why.contains(&certificate), "{why}");
    write(&certificate, before).unwrap();
    assert_eq!(run(&server, &directory).out, "over tls\n");

    write_pair(&directory, 0o600);
    signal(&server.child, "HUP");
    server.wait_for_log("new connections get the certificate of");
    let ended = run(&server, &directory);
    assert_eq!(ended.out, "over tls\n", "{}", ended.err);
}

#[test]
fn a_pair_that_cannot_serve_is_refused_at_the_start() {
    let directory = scratch("serve-tls-refused");
    let file = |name: &str| directory.join(name).to_str().unwrap().to_string();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let serve = |words: &[&str]| {
        let common =
            ["serve", "--isolation", "auto", "--store", "memory", "--listen", "127.0.0.1:0"];
        call(&[&common[..], words].concat())
    };
    let both = ["--tls-cert", certificate.as_str(), "--tls-key", key.as_str()];
    let absent = serve(&both);
    assert!(absent.code == 125 && absent.err.contains("cannot read the TLS"), "{absent:?}");
    write_pair(&directory, 0o644);
    let open = serve(&both);
    assert!(open.code == 125 && open.err.contains("the TLS key "), "{open:?}");
    assert!(open.err.contains("chmod 600"), "{}", open.err);
    let half = serve(&both[..2]);
    assert!(half.code == 2 && half.err.contains("--tls-key"), "{half:?}");
    write_pair(&directory, 0o600);
    let kept = std::fs::read(&key).unwrap();
    write_pair(&directory, 0o600);
    write(&key, kept).unwrap();
    let other = serve(&both);
    assert!(other.code == 125 && other.err.contains("cannot be used together"), "{other:?}");
}

#[test]
fn the_log_has_the_client_behind_a_trusted_proxy() {
    let arguments = ["--listen", "127.0.0.1:0", "--store", "memory"];
    for (proxies, address) in
        [("10.0.0.0/8,127.0.0.1", "from 192.0.2.7 "), ("10.0.0.0/8", "from 127.0.0.1 ")]
    {
        let words = [&arguments[..], &["--trusted-proxy", proxies]].concat();
        let mut server = Logged::serve(&words);
        let host = server.address.strip_prefix("http://").unwrap();
        let head = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        let line = server.wait_for_log("GET /health ");
        assert!(line.contains(address), "{line}");
    }
    let ended = call(&["serve", "--trusted-proxy", "proxy.example"]);
    assert!(ended.code == 2 && ended.err.contains("--trusted-proxy"), "{ended:?}");
}
