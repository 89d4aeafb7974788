// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults before a server is reached: names, addresses, proxies.

use crate::stub::{Play, Stub, ok};
use crate::table::{Outcome, Row, end_of};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;
use unsandbox::{CallOptions, ClientBuilder, Request, Timeouts};

/// Of a step that has a limit of its own.
const LIMIT: Duration = Duration::from_millis(200);
const TOO_SLOW: &str = "TIMEOUT, may have run; 1";
const NOT_TAKEN: &str = "TIMEOUT, may have run; 0";

pub fn rows() -> Vec<Row> {
    [connections(), proxies()].into_iter().flatten().collect()
}

fn connections() -> Vec<Row> {
    vec![
        Row::own("refused", "CONNECT; 0", || submit(crate::client_of(&nobody()), None)),
        Row::own("reset before the request", "CONNECT, may have run; 0", reset_at_once),
        Row::own("a name that is not found", "CONNECT; 0", unknown_name),
        Row::own("a name whose lookup hangs, until the limit", "CONNECT; 0", hanging_name)
            .within(1000),
        Row::own("a name whose lookup hangs, until the deadline", "TIMEOUT; 0", || {
            let client = crate::client_of("http://server.test").resolver(hang);
            submit(client.allow_plain_http_key(true), Some(Duration::from_millis(300)))
        })
        .within(400),
        Row::own("connecting that hangs, until its limit", "CONNECT; 0", || {
            let (dead, _held) = dead_address();
            let timeouts = Timeouts { connect: LIMIT, ..Timeouts::default() };
            submit(crate::client_of(&format!("http://{dead}")).timeouts(timeouts).retries(0), None)
        })
        .within(1000),
        Row::own("a request that is not taken, until the limit of sending", NOT_TAKEN, not_taken)
            .within(20_000),
        Row::own("no reply, until the limit of the first byte", TOO_SLOW, || {
            let timeouts = Timeouts { first_byte: Some(LIMIT), ..Timeouts::default() };
            slow(timeouts, || Play::Hang)
        })
        .within(1000),
        Row::own("a head that stops, until the limit of the first byte", TOO_SLOW, || {
            let timeouts = Timeouts { first_byte: Some(LIMIT), ..Timeouts::default() };
            slow(timeouts, || Play::Stall(b"HTTP/1.1 200 OK\r\nContent".into()))
        })
        .within(1000),
        Row::own("a body that stops, until the limit of each read", TOO_SLOW, || {
            let timeouts = Timeouts { read: Some(LIMIT), ..Timeouts::default() };
            let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{";
            slow(timeouts, || Play::Stall(begun.into()))
        })
        .within(1000),
        Row::own("a body that goes on within the limit of each read", "answered; 1", || {
            let timeouts = Timeouts { read: Some(Duration::from_secs(3)), ..Timeouts::default() };
            let body = r#"{"success":true}"#;
            let begun = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            slow(timeouts, move || Play::Trickle(begun.clone().into(), body.into()))
        }),
        Row::own("IPv6 first, and refused", "answered; 1", || addresses(refusing_v6)),
        Row::own("IPv6 first, and dead", "answered; 1", || addresses(dead_address)),
    ]
}

fn proxies() -> Vec<Row> {
    vec![
        Row::own("proxy that nobody runs", "CONNECT; 0", || through(&nobody())),
        Row::own("proxy that refuses", "CONNECT; 0", || {
            through(&proxy("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", None))
        }),
        Row::own("proxy that needs authentication", "CONNECT; 0", || {
            through(&proxy(
                "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                None,
            ))
        }),
        Row::own("proxy that closes without a word", "CONNECT; 0", || through(&proxy("", None))),
        Row::own("proxy that cuts the tunnel before TLS", "CONNECT; 0", || {
            through(&proxy("HTTP/1.1 200 OK\r\n\r\n", None))
        }),
        Row::own(
            "proxy that cuts the tunnel after the request",
            "CONNECT, may have run; 1",
            cut_late,
        ),
        Row::own("SOCKS proxy that nobody runs", "CONNECT; 0", || {
            through(&nobody().replace("http", "socks5"))
        }),
        Row::own("SOCKS proxy that closes without a word", "CONNECT; 0", || {
            through(&closing().replace("http", "socks5"))
        }),
        Row::own("proxy that works", "answered; 1", working_proxy),
    ]
}

/// A URL on which nobody listens: of a port that was free a moment ago.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn submit(client: ClientBuilder, deadline: Option<Duration>) -> Outcome {
    let mut options = CallOptions::new();
    options.deadline = deadline;
    let end = client.build().unwrap().with(options).execute(&Request::new("python", ""));
    Outcome { end: end_of(&end), submissions: 0, runs: 0 }
}

/// A call with these limits to a server that is slow.
fn slow(timeouts: Timeouts, play: impl Fn() -> Play + Send + Sync + 'static) -> Outcome {
    let stub = Stub::start(move |_| play());
    let outcome = submit(crate::client_of(&stub.url).timeouts(timeouts), None);
    Outcome { submissions: stub.asked().len(), runs: stub.asked().len(), ..outcome }
}

/// A server that takes the connection and reads nothing of a request that is larger than all buffers.
fn not_taken() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let timeouts = Timeouts { send: Some(LIMIT), ..Timeouts::default() };
    let client = crate::client_of(&url).timeouts(timeouts).build().unwrap();
    let end = client.execute(&Request::new("python", "#".repeat(16_000_000)));
    Outcome { end: end_of(&end), submissions: 0, runs: 0 }
}

fn reset_at_once() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            // What was sent is not read, so that closing is a reset.
            let _ = socket.unwrap().peek(&mut [0]);
        }
    });
    submit(crate::client_of(&url), None)
}

fn unknown_name() -> Outcome {
    let look_up = |_: &str, _| Err(io::Error::other("Name or service not known"));
    submit(crate::client_of("https://server.test").resolver(look_up), None)
}

fn hang(_: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
    let (_hold, gate) = mpsc::channel::<()>();
    let _ = gate.recv_timeout(Duration::from_secs(30));
    Ok(Vec::new())
}

fn hanging_name() -> Outcome {
    let timeouts = Timeouts { resolve: Duration::from_millis(100), ..Timeouts::default() };
    submit(
        crate::client_of("https://server.test").resolver(hang).timeouts(timeouts).retries(0),
        None,
    )
}

/// A server whose name has first the address that `first` gives, and then its own.
fn addresses(first: fn() -> (SocketAddr, Box<dyn Send>)) -> Outcome {
    let (first, _held) = first();
    let stub = Stub::start(|_| ok());
    let own: SocketAddr = stub.url.strip_prefix("http://").unwrap().parse().unwrap();
    let client = crate::client_of("http://server.test")
        .allow_plain_http_key(true)
        .resolver(move |_, _| Ok(vec![first, own]));
    let outcome = submit(client, None);
    Outcome { submissions: stub.asked().len(), runs: stub.asked().len(), ..outcome }
}

/// A port of this machine's IPv6 address on which nobody listens; without IPv6 there is no way at all.
fn refusing_v6() -> (SocketAddr, Box<dyn Send>) {
    (SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9)), Box::new(()))
}

/// An address that does not answer, since its queue of connections is full: of IPv6 where this machine
/// has it.
fn dead_address() -> (SocketAddr, Box<dyn Send>) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    let (any, family) = match has_v6 {
        true => ("[::1]:0", AddressFamily::INET6),
        false => ("127.0.0.1:0", AddressFamily::INET),
    };
    let any = any.parse::<SocketAddr>().unwrap();
    let listener = socket(family, SocketType::STREAM, None).unwrap();
    bind(&listener, &any).unwrap();
    listen(&listener, 0).unwrap();
    let address: SocketAddr = getsockname(&listener).unwrap().try_into().unwrap();
    let mut held = vec![];
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        held.push(socket);
    }
    (address, Box::new((listener, held)))
}

/// A proxy that says `answer` to every request, and then joins the client to `server`.
fn proxy(answer: &'static str, server: Option<SocketAddr>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut reader = BufReader::new(socket.unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let mut socket = reader.into_inner();
            let _ = socket.write_all(answer.as_bytes());
            if let Some(server) = server {
                join(socket, TcpStream::connect(server).unwrap());
            }
        }
    });
    url
}

/// A server that closes every connection once it was spoken to.
fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.unwrap().read(&mut [0; 16]);
        }
    });
    url
}

fn join(client: TcpStream, server: TcpStream) {
    for (mut from, mut to) in
        [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
    {
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..read]).is_err() {
                    return;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

fn through(proxy: &str) -> Outcome {
    submit(crate::client_of("https://server.test").proxy(proxy), None)
}

/// A proxy that joins the client to a server, and is gone when the request has arrived there.
fn cut_late() -> Outcome {
    let stub = Stub::start(|_| Play::Close);
    let server = stub.url.strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = proxy("HTTP/1.1 200 OK\r\n\r\n", Some(server));
    let client = crate::client_of("http://server.test").allow_plain_http_key(true).proxy(proxy);
    let outcome = submit(client.retries(0), None);
    Outcome { submissions: stub.asked().len(), runs: stub.asked().len(), ..outcome }
}

fn working_proxy() -> Outcome {
    let stub = Stub::start(|_| ok());
    let server = stub.url.strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = proxy("HTTP/1.1 200 OK\r\n\r\n", Some(server));
    let client = crate::client_of("http://server.test").allow_plain_http_key(true).proxy(proxy);
    let outcome = submit(client, None);
    Outcome { submissions: stub.asked().len(), runs: stub.asked().len(), ..outcome }
}
