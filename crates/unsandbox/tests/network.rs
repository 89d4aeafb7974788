// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way to a server: proxies, and who is told of it.

mod stub;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stub::{OK, Stub, builder, json, ok, with};
use unsandbox::{CallOptions, CancelToken, Client, ErrorCode, Request, RequestEvent};

/// Who is freed by an event, not by the next look at the clock, is free by then on a busy machine too;
/// `make bench` prints how soon it is on a quiet one.
const PROMPT: Duration = Duration::from_secs(1);

fn python() -> Request {
    Request::new("python", "print(1)")
}

/// A proxy for one connection: reads what `asks` sends (a CONNECT or a SOCKS greeting) by `talk`, which
/// answers it and says whether to join the client to the server.
fn proxy(talk: impl FnOnce(&mut TcpStream) -> bool + Send + 'static, server: &Stub) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server.url.strip_prefix("http://").unwrap().to_string();
    std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        if !talk(&mut client) {
            return;
        }
        let mut server = TcpStream::connect(server).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut server, &mut client);
    });
    address.to_string()
}

fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn behind(proxy: String) -> unsandbox::ClientBuilder {
    Client::builder()
        .base_url("http://server.test:8000")
        .api_key("test-key")
        .allow_plain_http_key(true)
        .proxy(proxy)
        .retries(0)
}

#[test]
fn a_proxy_is_given_the_host_and_its_password_and_never_the_key() {
    let stub = Stub::start(|_| ok());
    let (tell, told) = mpsc::channel();
    let talk = move |client: &mut TcpStream| {
        tell.send(read_head(client)).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        true
    };
    let proxy = proxy(talk, &stub);
    let client = behind(format!("http://me:p%40ss@{proxy}")).build().unwrap();
    assert_eq!(client.execute(&python()).unwrap().stdout, b"hi\n");
    let head = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.starts_with("CONNECT server.test:8000 HTTP/1.1\r\n"), "{head}");
    // me:p@ss
    assert!(head.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n"), "{head}");
    assert!(!head.contains("test-key"), "{head}");
    assert_eq!(stub.asked()[0].header("host"), Some("server.test:8000"));
    // A tunnel is kept like any connection: the proxy takes only one.
    client.execute(&python()).unwrap();
}

#[test]
fn a_proxy_that_fails_is_named_and_nothing_was_run() {
    let stub = Stub::start(|_| ok());
    for (answer, why) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
        ("", ""),
    ] {
        let talk = move |client: &mut TcpStream| {
            read_head(client);
            client.write_all(answer.as_bytes()).unwrap();
            false
        };
        let address = proxy(talk, &stub);
        let error = behind(format!("http://me:hunter2@{address}")).build().unwrap();
        let error = error.execute(&python()).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, false), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&address) && shown.contains(why), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(stub.asked().is_empty());
}

#[test]
fn a_tunnel_that_is_cut_after_the_request_may_have_run_it() {
    let stub = Stub::start(|_| ok());
    let talk = |client: &mut TcpStream| {
        read_head(client);
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        read_head(client);
        false
    };
    let client = behind(format!("http://{}", proxy(talk, &stub))).build().unwrap();
    let error = client.execute(&python()).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, true), "{error:?}");
}

#[test]
fn a_proxy_that_hangs_is_left_by_token_and_deadline() {
    let stub = Stub::start(|_| ok());
    let silent = |arrived: mpsc::Sender<()>| {
        move |client: &mut TcpStream| {
            arrived.send(()).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
            false
        }
    };
    let (tell, told) = mpsc::channel();
    let kinds: &[&str] = if cfg!(feature = "socks") { &["http", "socks5"] } else { &["http"] };
    for kind in kinds {
        let client =
            behind(format!("{kind}://{}", proxy(silent(tell.clone()), &stub))).build().unwrap();
        let cancel = CancelToken::new();
        let options = CallOptions::new().cancel(cancel.clone());
        let call = std::thread::spawn(move || client.with(options).execute(&python()).unwrap_err());
        told.recv_timeout(Duration::from_secs(20)).unwrap();
        let begun = Instant::now();
        cancel.cancel();
        let error = call.join().unwrap();
        assert_eq!(
            (error.code(), error.may_have_run()),
            (ErrorCode::Cancelled, false),
            "{error:?}"
        );
        assert!(begun.elapsed() < PROMPT, "{kind}: {:?}", begun.elapsed());

        let client =
            behind(format!("{kind}://{}", proxy(silent(tell.clone()), &stub))).build().unwrap();
        let begun = Instant::now();
        let options = CallOptions::new().deadline(Duration::from_millis(200));
        let error = client.with(options).execute(&python()).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, false), "{error:?}");
        assert!(begun.elapsed() < PROMPT, "{kind}: {:?}", begun.elapsed());
        told.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}

#[cfg(feature = "socks")]
#[test]
fn socks_is_spoken_with_and_without_a_password() {
    let host = b"\x05\x01\x00\x03\x0bserver.test\x1f\x40";
    let granted = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let steps = move |turns: Vec<(Vec<u8>, Vec<u8>)>| {
        move |client: &mut TcpStream| {
            for (expected, answer) in turns {
                let mut said = vec![0; expected.len()];
                if client.read_exact(&mut said).is_err() {
                    return false;
                }
                assert_eq!(said, expected);
                client.write_all(&answer).unwrap();
            }
            true
        }
    };
    let turn = |said: &[u8], answer: &[u8]| (said.to_vec(), answer.to_vec());
    let stub = Stub::start(|_| ok());
    let plain = vec![turn(b"\x05\x01\x00", b"\x05\x00"), turn(host, granted)];
    let client = behind(format!("socks5://{}", proxy(steps(plain), &stub))).build().unwrap();
    assert_eq!(client.execute(&python()).unwrap().stdout, b"hi\n");
    let named = |end: &[u8]| {
        vec![
            turn(b"\x05\x02\x00\x02", b"\x05\x02"),
            turn(b"\x01\x02me\x04pass", end),
            turn(host, granted),
        ]
    };
    let address = proxy(steps(named(b"\x01\x00")), &stub);
    let client = behind(format!("socks5h://me:pass@{address}")).build().unwrap();
    assert_eq!(client.execute(&python()).unwrap().stdout, b"hi\n");
    let asked = stub.asked().len();
    for (turns, why) in [
        (vec![turn(b"\x05\x01\x00", b"\x05\xff")], "needs authentication"),
        (vec![turn(b"\x05\x01\x00", b"\x04\x00")], "does not speak SOCKS5"),
        (
            vec![turn(b"\x05\x01\x00", b"\x05\x00"), turn(host, b"\x05\x05\x00\x01")],
            "connection refused by the host",
        ),
    ] {
        let client = behind(format!("socks5://{}", proxy(steps(turns), &stub))).build().unwrap();
        let error = client.execute(&python()).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, false), "{error:?}");
        assert!(format!("{error:?}").contains(why), "{error:?}");
    }
    assert_eq!(stub.asked().len(), asked);
}

#[test]
fn an_observer_is_told_of_each_call_once() {
    let stub = Stub::sequence(vec![|| with(json(429, "later"), "Retry-After: 0"), ok]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let client = builder(&stub)
        .on_request(move |event| {
            notes.lock().unwrap().push(match event {
                RequestEvent::Started { method, path, bytes_sent } => {
                    format!("> {method} {path} {bytes_sent}")
                }
                RequestEvent::Ended {
                    status, error, bytes_received, attempts, elapsed, ..
                } => {
                    assert!(*elapsed < Duration::from_secs(5));
                    format!("< {status:?} {error:?} {bytes_received} {attempts}")
                }
                other => format!("{other:?}"),
            });
        })
        .build()
        .unwrap();
    client.run(&Request::detect("#!/bin/sh\necho\n").env("SECRET", "hunter2")).unwrap();
    let notes = std::mem::take(&mut *seen.lock().unwrap());
    let question = ["> GET /health 0", "< Some(200) None 2 1"].map(str::to_string);
    let submission = ["> POST /run 15".to_string(), format!("< Some(200) None {} 2", OK.len())];
    assert_eq!(notes, [question, submission].concat());
    assert!(client.get_job("j").is_ok());
    assert_eq!(seen.lock().unwrap()[0], "> GET /jobs/j 0");
    let down = Stub::start(|_| json(404, ""));
    let seen = Arc::new(Mutex::new(None));
    let last = seen.clone();
    let client = builder(&down).on_request(move |event| {
        if let RequestEvent::Ended { status, error, .. } = event {
            *last.lock().unwrap() = Some((*status, *error));
        }
    });
    assert!(client.build().unwrap().get_job("j").is_err());
    assert_eq!(*seen.lock().unwrap(), Some((Some(404), Some(ErrorCode::NotFound))));
}
