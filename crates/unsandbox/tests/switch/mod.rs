// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands between clients and servers: it leads connections to one server or another, cuts them, and
//! gives each request to the next server in turn.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Switch {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// `HOST:PORT` of each server; without one, connections are closed at once.
    targets: Vec<String>,
    next: usize,
    open: Vec<TcpStream>,
}

impl Shared {
    fn turn(&mut self) -> Option<TcpStream> {
        self.next += 1;
        let target = self.targets.get(self.next % self.targets.len().max(1))?;
        TcpStream::connect(target).ok()
    }
}

impl Switch {
    /// Leads whole connections.
    pub fn to(target: &str) -> Switch {
        Switch::start(&[target], |mut client, shared| {
            let Some(mut server) = shared.lock().unwrap().turn() else { return };
            let (mut back, mut forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let kept = [client.try_clone().unwrap(), server.try_clone().unwrap()];
            shared.lock().unwrap().open.extend(kept);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut client, &mut forth);
                let _ = forth.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut server, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        })
    }

    /// Gives each request to the next server.
    pub fn among(targets: &[&str]) -> Switch {
        Switch::start(targets, |mut client, shared| {
            let Some(request) = read_request(&mut client) else { return };
            let Some(mut server) = shared.lock().unwrap().turn() else { return };
            let end = request.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let request = [&request[..end], b"Connection: close\r\n", &request[end..]].concat();
            server.write_all(&request).unwrap();
            let _ = std::io::copy(&mut server, &mut client);
            let _ = client.shutdown(Shutdown::Both);
        })
    }

    /// A gateway that passes on the headers that it knows, and drops the others.
    pub fn gateway(target: &str) -> Switch {
        Switch::start(&[target], |mut client, shared| {
            let Some(request) = read_request(&mut client) else { return };
            let Some(mut server) = shared.lock().unwrap().turn() else { return };
            let kept = [client.try_clone().unwrap(), server.try_clone().unwrap()];
            shared.lock().unwrap().open.extend(kept);
            server.write_all(&with_known_headers(&request)).unwrap();
            let _ = std::io::copy(&mut server, &mut client);
            let _ = client.shutdown(Shutdown::Both);
        })
    }

    fn start(targets: &[&str], serve: fn(TcpStream, &Mutex<Shared>)) -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::<Mutex<Shared>>::default();
        let switch = Switch { url, shared: shared.clone() };
        switch.lead_to(targets);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(client.unwrap(), &shared));
            }
        });
        switch
    }

    /// New connections are led to these servers.
    pub fn lead_to(&self, targets: &[&str]) {
        let host = |url: &&str| url.strip_prefix("http://").unwrap_or(url).to_string();
        self.shared.lock().unwrap().targets = targets.iter().map(host).collect();
    }

    /// Ends every connection that is open.
    pub fn cut(&self) {
        for stream in self.shared.lock().unwrap().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn with_known_headers(request: &[u8]) -> Vec<u8> {
    const KNOWN: [&str; 4] = ["host: ", "content-type: ", "content-length: ", "idempotency-key: "];
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let (head, body) = request.split_at(end + 4);
    let head = std::str::from_utf8(head).unwrap();
    let is_known = |line: &&str| KNOWN.iter().any(|name| line.to_lowercase().starts_with(name));
    let mut passed: Vec<&str> = head.lines().take(1).collect();
    passed.extend(head.lines().skip(1).filter(is_known));
    passed.extend(["Connection: close", "", ""]);
    [passed.join("\r\n").as_bytes(), body].concat()
}

fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
        if bytes.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(bytes.clone()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    client.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(bytes)
}
