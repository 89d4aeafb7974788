// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scripted server on loopback: it plays what a test says, keeps what it was asked, and can misbehave
//! below HTTP too.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection, counted from 0, and which request on it.
    pub connection: usize,
    pub turn: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What the server does then.
pub enum Play {
    /// Status, headers as `Name: value`, body.
    Answer(u16, Vec<String>, Vec<u8>),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Waits until the client is gone.
    Hang,
    /// These bytes, then waits until the client is gone.
    Stall(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// These bytes, then an end of file from this side only.
    HalfClose(Vec<u8>),
    /// These bytes, one a second.
    Drip(Vec<u8>),
    /// The first bytes at once, the others one by one, a twentieth of a second apart.
    Trickle(Vec<u8>, Vec<u8>),
}

pub fn json(status: u16, body: &str) -> Play {
    Play::Answer(status, vec!["Content-Type: application/json".into()], body.into())
}

pub fn with(play: Play, header: &str) -> Play {
    match play {
        Play::Answer(status, mut headers, body) => {
            headers.push(header.into());
            Play::Answer(status, headers, body)
        }
        other => other,
    }
}

pub trait Socket: Read + Write + Send {
    fn twin(&self) -> Box<dyn Socket>;
    fn end(&self);
    /// Ends this side only.
    fn end_output(&self);
    /// Lets the close to come be a reset.
    fn make_close_a_reset(&self);
}

impl Socket for TcpStream {
    fn twin(&self) -> Box<dyn Socket> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
    fn end_output(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
    fn make_close_a_reset(&self) {
        #[cfg(unix)]
        rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO)).unwrap();
    }
}

#[cfg(unix)]
impl Socket for std::os::unix::net::UnixStream {
    fn twin(&self) -> Box<dyn Socket> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
    fn end_output(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
    fn make_close_a_reset(&self) {
        #[cfg(unix)]
        rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO)).unwrap();
    }
}

type Script = dyn Fn(&Asked) -> Play + Send + Sync;

pub struct Stub {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// A client that was kept waiting has gone, or a raw answer's connection was closed.
    gone: Receiver<()>,
    arrivals: Receiver<String>,
}

struct Shared {
    script: Box<Script>,
    /// `GET /health` is for the script too.
    whole: bool,
    asked: Arc<Mutex<Vec<Asked>>>,
    gone: Mutex<Sender<()>>,
    arrived: Mutex<Sender<String>>,
}

impl Stub {
    fn shared(
        script: impl Fn(&Asked) -> Play + Send + Sync + 'static,
        whole: bool,
        url: String,
    ) -> (Stub, Arc<Shared>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (gone, gone_end) = channel();
        let (arrived, arrivals) = channel();
        let shared = Shared {
            script: Box::new(script),
            whole,
            asked: asked.clone(),
            gone: Mutex::new(gone),
            arrived: Mutex::new(arrived),
        };
        (Stub { url, asked, gone: gone_end, arrivals }, Arc::new(shared))
    }

    /// A server without features: what a client asks of `/health` before its first submission is answered
    /// so, and not noted.
    pub fn start(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Stub {
        Stub::listen(script, false)
    }

    /// A server whose `/health` is for the script too.
    pub fn start_whole(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Stub {
        Stub::listen(script, true)
    }

    fn listen(script: impl Fn(&Asked) -> Play + Send + Sync + 'static, whole: bool) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stub, shared) = Stub::shared(script, whole, url);
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                let (socket, shared) = (socket.unwrap(), shared.clone());
                std::thread::spawn(move || serve(Box::new(socket), connection, &shared));
            }
        });
        stub
    }

    #[cfg(unix)]
    pub fn start_unix(
        path: &std::path::Path,
        script: impl Fn(&Asked) -> Play + Send + Sync + 'static,
    ) -> Stub {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        let (stub, shared) = Stub::shared(script, false, format!("unix:{}", path.display()));
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                let (socket, shared) = (socket.unwrap(), shared.clone());
                std::thread::spawn(move || serve(Box::new(socket), connection, &shared));
            }
        });
        stub
    }

    /// Plays the given answers in order, and the last one for ever.
    pub fn sequence(plays: Vec<fn() -> Play>) -> Stub {
        let turn = AtomicUsize::new(0);
        Stub::start(move |_| plays[turn.fetch_add(1, Ordering::SeqCst).min(plays.len() - 1)]())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }

    /// Blocks until a client that was kept waiting is gone, or the connection of a raw answer.
    pub fn wait_gone(&self) {
        self.gone.recv_timeout(Duration::from_secs(20)).expect("the client goes away");
    }

    /// Blocks until a request whose line starts with `start` has arrived.
    pub fn wait_for(&self, start: &str) {
        loop {
            let line = self.arrivals.recv_timeout(Duration::from_secs(20)).expect("a request");
            if line.starts_with(start) {
                return;
            }
        }
    }
}

fn serve(socket: Box<dyn Socket>, connection: usize, shared: &Shared) {
    let mut writer = socket.twin();
    let mut reader = BufReader::new(socket);
    let mut turns = 0..;
    loop {
        let Some(mut asked) = read(&mut reader, connection) else { return };
        if !shared.whole && asked.path().ends_with("/health") {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            if writer.write_all(answer).is_err() {
                return;
            }
            continue;
        }
        asked.turn = turns.next().unwrap();
        shared.asked.lock().unwrap().push(asked.clone());
        let _ = shared.arrived.lock().unwrap().send(asked.line());
        let play = (shared.script)(&asked);
        if !act(play, &mut reader, writer.as_mut(), shared) {
            return;
        }
    }
}

/// Whether the connection goes on after that.
fn act(
    play: Play,
    reader: &mut BufReader<Box<dyn Socket>>,
    writer: &mut dyn Socket,
    shared: &Shared,
) -> bool {
    let hang = |reader: &mut BufReader<Box<dyn Socket>>| {
        let _ = reader.read_to_end(&mut Vec::new());
        let _ = shared.gone.lock().unwrap().send(());
    };
    match play {
        Play::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Word\r\nContent-Length: {}\r\n", body.len());
            headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
            head.push_str("\r\n");
            return writer
                .write_all(head.as_bytes())
                .and_then(|()| writer.write_all(&body))
                .is_ok();
        }
        Play::Raw(bytes) => {
            let _ = writer.write_all(&bytes);
            writer.end();
            let _ = shared.gone.lock().unwrap().send(());
        }
        Play::Close => writer.end(),
        Play::Reset(bytes) => {
            let _ = writer.write_all(&bytes);
            writer.make_close_a_reset();
        }
        Play::HalfClose(bytes) => {
            let _ = writer.write_all(&bytes);
            writer.end_output();
            hang(reader);
        }
        Play::Drip(bytes) => return drip(writer, &bytes, Duration::from_secs(1)),
        Play::Trickle(head, body) => {
            let _ = writer.write_all(&head);
            return drip(writer, &body, Duration::from_millis(50));
        }
        Play::Hang => hang(reader),
        Play::Stall(bytes) => {
            let _ = writer.write_all(&bytes);
            hang(reader);
        }
    }
    false
}

/// Sends bytes one by one, with a pause after each; whether all were sent.
fn drip(writer: &mut dyn Socket, bytes: &[u8], pause: Duration) -> bool {
    bytes.iter().all(|byte| {
        let sent = writer.write_all(&[*byte]).is_ok();
        std::thread::sleep(pause);
        sent
    })
}

fn read(reader: &mut BufReader<Box<dyn Socket>>, connection: usize) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_string);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_string(), value.to_string()));
    }
    let mut asked = Asked { method, target, headers, body: Vec::new(), connection, turn: 0 };
    let length = asked.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

pub const OK: &str = r#"{"success":true,"stdout":"hi\n","stderr":"","exit_code":0,"error":null,"language":"python","job_id":"j1","status":"completed","artifacts":[]}"#;
pub const FEATURES: &str =
    "X-Unsandbox-Features: run-json, idempotency=process:0123456789abcdef, wait";

pub fn ok() -> Play {
    json(200, OK)
}

/// A client for the stub that nothing in the environment changes.
pub fn client(stub: &Stub) -> unsandbox::Client {
    builder(stub).build().unwrap()
}

pub fn builder(stub: &Stub) -> unsandbox::ClientBuilder {
    unsandbox::Client::builder().base_url(&stub.url).api_key("test-key")
}
