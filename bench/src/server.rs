// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `unsandbox serve` bears: executions, durable submissions and long polls from 1 to 1,000 connections, what it adds
//! to a call at `local:`, and its memory. Clients are plain sockets, so that they cost little.

use crate::flood;
use crate::{in_ms, median, quantile, timed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};
use unsandbox::{Client, Error, Request};

/// How long each load is kept up.
const LOAD: Duration = Duration::from_secs(4);
/// Rounds of one call alone, in turn with `local:`.
const ROUNDS: usize = 300;
const CONNECTIONS: [usize; 4] = [1, 16, 256, 1000];
/// The submissions that the floor is about.
const SUBMITTERS: usize = 64;

pub fn measure_all() -> Result<(), Error> {
    let directory = std::env::temp_dir().join(format!("unsandbox-server-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    println!("{} s of each load; the server and its clients share the machine", LOAD.as_secs());
    one_call(&directory)?;
    executions(&directory);
    submissions(&directory);
    long_polls(&directory);
    idle_streams(&directory);
    flood::measure(&directory);
    std::fs::remove_dir_all(&directory).expect("the temporary directory");
    Ok(())
}

pub struct Served {
    child: Child,
    pub host: String,
}

impl Served {
    fn start(directory: &Path, more: &[&str]) -> Served {
        Served::start_with_keys(directory, more, "")
    }

    /// With bearer keys, separated by commas.
    pub fn start_with_keys(directory: &Path, more: &[&str], keys: &str) -> Served {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let store: PathBuf = directory.join(format!("{}.db", COUNT.fetch_add(1, Ordering::SeqCst)));
        let beside = std::env::current_exe().expect("a path").with_file_name("unsandbox");
        let mut command = Command::new(beside);
        if !keys.is_empty() {
            command.env("UNSANDBOX_SERVE_KEYS", keys);
        }
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--isolation", "auto", "--grace", "0"])
            .arg("--store")
            .arg(store)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo build --release -p unsandbox-cli` has built the server");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("the server's first line");
        let host = line.trim().trim_start_matches("listening on http://").to_string();
        Served { child, host }
    }

    /// Memory of the server's process in MB.
    fn memory_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let line = status.unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_string));
        let kilobytes = line.and_then(|it| it.split_whitespace().next().map(str::to_string));
        kilobytes.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(host: &str) -> Connection {
        let stream = TcpStream::connect(host).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        Connection(BufReader::new(stream))
    }

    /// Sends a request and reads its whole reply; gives the status and the body.
    pub fn call(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(request).expect("the server reads");
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("a reply") > 0, "the server hung up");
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(1);
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a whole reply");
        (status, body)
    }
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nx-unsandbox-compat: 0\r\n\r\n{body}")
        .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// What a load gave.
struct Load {
    times: Vec<Duration>,
    refused: usize,
    seconds: f64,
}

/// Repeats a request on so many connections at once for the time of a load.
fn load(host: &str, connections: usize, request: &[u8]) -> Load {
    let (all, refused) = (Mutex::new(Vec::new()), Mutex::new(0));
    let (begin, over) = (Barrier::new(connections + 1), AtomicBool::new(false));
    let mut begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            let client = || {
                let mut connection = Connection::open(host);
                let (mut times, mut no) = (Vec::new(), 0);
                begin.wait();
                while !over.load(Ordering::Relaxed) {
                    let since = Instant::now();
                    match connection.call(request).0 {
                        200 => times.push(since.elapsed()),
                        _ => {
                            no += 1;
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                }
                all.lock().expect("no panic").append(&mut times);
                *refused.lock().expect("no panic") += no;
            };
            let small = std::thread::Builder::new().stack_size(256 << 10);
            small.spawn_scoped(scope, client).expect("a thread");
        }
        begin.wait();
        begun = Instant::now();
        std::thread::sleep(LOAD);
        over.store(true, Ordering::Relaxed);
    });
    let seconds = begun.elapsed().as_secs_f64();
    let times = all.into_inner().expect("no panic");
    Load { times, refused: refused.into_inner().expect("no panic"), seconds }
}

fn row(what: &str, connections: usize, load: &mut Load, server: &Served) {
    let rate = load.times.len() as f64 / load.seconds;
    let (half, most) = (quantile(&mut load.times, 0.5), quantile(&mut load.times, 0.99));
    println!(
        "{what:22} {connections:>6} {rate:>9.0}/s  p50 {:>10}  p99 {:>10}  refused {:>5}  {:>4} MB",
        in_ms(half),
        in_ms(most),
        load.refused,
        server.memory_mb()
    );
}

/// What the server adds to one call: an empty bash through it and at `local:`, in turn.
fn one_call(directory: &Path) -> Result<(), Error> {
    let server = Served::start(directory, &[]);
    let local = Client::builder().base_url("local:").build()?;
    let mut connection = Connection::open(&server.host);
    let body = r#"{"language":"bash","code":""}"#;
    let execute = post("/execute", body);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 10 {
        let direct = timed(|| local.execute(&Request::new("bash", "")).map(|_| ()))?;
        let over = timed(|| {
            assert_eq!(connection.call(&execute).0, 200);
            Ok(())
        })?;
        if round >= 10 {
            here.push(direct);
            there.push(over);
        }
    }
    let (here, there) = (median(&mut here), median(&mut there));
    let added = there.saturating_sub(here);
    let missed =
        if added > Duration::from_micros(300) { "  MISSED: the floor is 0.30 ms" } else { "" };
    println!(
        "one call: local: {}, server {}, added {}{missed}",
        in_ms(here),
        in_ms(there),
        in_ms(added)
    );
    Ok(())
}

fn executions(directory: &Path) {
    let server = Served::start(directory, &[]);
    let body = r#"{"language":"bash","code":""}"#;
    for connections in CONNECTIONS {
        let mut load = load(&server.host, connections, &post("/execute", body));
        row("execute, empty bash", connections, &mut load, &server);
    }
}

/// Jobs that only wait: one place, which the first job keeps.
fn submissions(directory: &Path) {
    let more = ["--concurrency", "1", "--queue", "1000000"];
    let body = r#"{"language":"bash","code":"sleep 600"}"#;
    for connections in [1, 16, SUBMITTERS, 256, 1000] {
        let server = Served::start(directory, &more);
        let mut load = load(&server.host, connections, &post("/execute/async", body));
        row("submit, on disk", connections, &mut load, &server);
        let rate = load.times.len() as f64 / load.seconds;
        if connections == SUBMITTERS && rate < 3_000.0 {
            println!(
                "  MISSED: the floor is 3000 submissions a second from {SUBMITTERS} connections"
            );
        }
    }
}

/// Long polls that wait together, and are answered by the end of their job.
fn long_polls(directory: &Path) {
    for connections in CONNECTIONS {
        let server = Served::start(directory, &[]);
        let poll = get(&format!("/jobs/{}?wait=30", submit_sleep(&server, 2)));
        let (all, memory) = (Mutex::new(Vec::new()), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..connections {
                let client = || {
                    let mut connection = Connection::open(&server.host);
                    assert_eq!(connection.call(&poll).0, 200);
                    all.lock().expect("no panic").push(Instant::now());
                };
                let small = std::thread::Builder::new().stack_size(256 << 10);
                small.spawn_scoped(scope, client).expect("a thread");
            }
            std::thread::sleep(Duration::from_millis(1_500));
            *memory.lock().expect("no panic") = server.memory_mb();
        });
        let ends = all.into_inner().expect("no panic");
        let (first, last) = (ends.iter().min(), ends.iter().max());
        let spread = first.zip(last).map_or(Duration::ZERO, |(first, last)| *last - *first);
        let memory = memory.into_inner().expect("no panic");
        println!(
            "{:22} {connections:>6} all answered within {} of the first; {memory} MB while they wait",
            "long polls",
            in_ms(spread)
        );
    }
}

/// The id of a job that sleeps so many seconds.
fn submit_sleep(server: &Served, seconds: u32) -> String {
    let body = format!(r#"{{"language":"bash","code":"sleep {seconds}"}}"#);
    let (status, reply) = Connection::open(&server.host).call(&post("/execute/async", &body));
    assert_eq!(status, 200);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let id = reply.split('"').find(|word| word.starts_with("job_") && word.len() > 20);
    id.expect("an id").to_string()
}

/// Streams of the events of a job that says nothing.
fn idle_streams(directory: &Path) {
    for connections in CONNECTIONS {
        let server = Served::start(directory, &[]);
        let path = format!("/jobs/{}/events", submit_sleep(&server, 600));
        let mut streams: Vec<Connection> =
            (0..connections).map(|_| Connection::open(&server.host)).collect();
        for stream in &mut streams {
            stream.0.get_mut().write_all(&get(&path)).expect("the server reads");
        }
        for stream in &mut streams {
            let mut line = String::new();
            while !line.starts_with("event: started") {
                line.clear();
                assert!(stream.0.read_line(&mut line).expect("a stream") > 0, "the stream ended");
            }
        }
        let memory = server.memory_mb();
        let missed = if memory > 60 { "  MISSED: the floor is 60 MB" } else { "" };
        println!("{:22} {connections:>6} {memory} MB{missed}", "idle streams");
    }
}
