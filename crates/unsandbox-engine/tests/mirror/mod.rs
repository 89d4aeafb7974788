// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in for the Internet in the tests of the gateway: a small HTTP server on loopback, a
//! resolver that says what a test wants, and listeners that nobody may reach.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use unsandbox_engine::{EgressOptions, Engine, EngineOptions, Resolver};

/// The name under which tests reach the mirror.
pub const NAME: &str = "mirror.example";

/// A file server on loopback that keeps the heads it was sent. Lives as long as the test program.
pub struct Mirror {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Mirror {
    pub fn start() -> Mirror {
        Mirror::start_on("127.0.0.1:0".parse().unwrap())
    }

    pub fn start_on(address: SocketAddr) -> Mirror {
        let listener = TcpListener::bind(address).expect("a port of loopback is free");
        let mirror = Mirror {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
            files: Arc::default(),
        };
        let (heads, files) = (mirror.heads.clone(), mirror.files.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, files) = (heads.clone(), files.clone());
                std::thread::spawn(move || answer(stream, &heads, &files));
            }
        });
        mirror
    }

    pub fn url(&self) -> String {
        format!("http://{NAME}:{}", self.address.port())
    }

    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_string(), content.into());
    }

    /// Every file below `folder`, under `path`.
    pub fn put_folder(&self, path: &str, folder: PathBuf) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let place = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.put_folder(&place, entry.path());
            } else {
                self.put(&place, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// An engine whose runs reach this mirror under its name.
    pub fn engine(&self) -> Engine {
        let names = Names::new(&[(NAME, &[&[self.address.ip()]])]);
        engine_with(EgressOptions {
            open_loopback: Some(self.address),
            resolver: Some(names),
            ..EgressOptions::default()
        })
    }
}

pub fn engine_with(egress: EgressOptions) -> Engine {
    let options = EngineOptions { concurrency: 4, egress, ..EngineOptions::default() };
    Engine::new(options).expect("an engine can be made")
}

fn answer(
    mut stream: TcpStream,
    heads: &Mutex<Vec<String>>,
    files: &Mutex<HashMap<String, Vec<u8>>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?, words.next()?.split('?').next()?.to_string());
    heads.lock().unwrap().push(head.clone());
    let found =
        if method == "POST" { Some(body) } else { files.lock().unwrap().get(&target).cloned() };
    let (status, content) = match found {
        Some(content) => ("200 OK", content),
        None => ("404 Not Found", b"not here\n".to_vec()),
    };
    let kind = match target.rsplit_once('.').map(|(_, end)| end) {
        Some("json") => "application/json",
        _ if target.ends_with('/') => "text/html",
        _ => "application/octet-stream",
    };
    let len = content.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")
        .ok()?;
    stream.write_all(&content).ok()
}

/// Answers of a resolver: for each name one list of addresses after the other, the last one for ever.
#[derive(Debug)]
pub struct Names {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub fn new(answers: &[(&str, &[&[IpAddr]])]) -> Arc<Names> {
        let owned = |(name, lists): &(&str, &[&[IpAddr]])| {
            (name.to_string(), lists.iter().map(|list| list.to_vec()).collect())
        };
        let answers = answers.iter().map(owned).collect();
        Arc::new(Names { answers, asked: Mutex::default() })
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Names {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.iter().filter(|name| *name == host).count();
        asked.push(host.to_string());
        let lists = self.answers.get(host).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(lists[times.min(lists.len() - 1)].clone())
    }
}

/// Listeners on every address of this machine that nobody may reach.
pub struct Canary {
    listeners: Vec<TcpListener>,
    pub port: u16,
}

impl Canary {
    pub fn start() -> Canary {
        let v4 = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = v4.local_addr().unwrap().port();
        // Without IPv6 there is nothing to reach by it.
        let v6 = TcpListener::bind(("::", port)).ok();
        let listeners: Vec<TcpListener> = std::iter::once(v4).chain(v6).collect();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        Canary { listeners, port }
    }

    /// That a connection is possible from here, so that the silence means something.
    pub fn is_alive(&self) -> bool {
        let reached = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        reached && self.listeners.iter().any(|listener| listener.accept().is_ok())
    }

    pub fn was_reached(&self) -> bool {
        self.listeners.iter().any(|listener| listener.accept().is_ok())
    }
}

/// Every address of this machine.
pub fn own_addresses() -> Vec<IpAddr> {
    let mut own = Vec::new();
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    for pair in lines.windows(2).filter(|pair| pair[1].ends_with("/32 host LOCAL")) {
        own.extend(pair[0].trim_start_matches("|-- ").parse::<IpAddr>());
    }
    let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for digits in table.lines().filter_map(|line| line.split(' ').next()) {
        let bits = u128::from_str_radix(digits, 16).expect("the kernel writes 32 digits");
        own.push(IpAddr::V6(bits.into()));
    }
    own.sort();
    own.dedup();
    own
}
