// SPDX-License-Identifier: MIT OR Apache-2.0
//! A receiver of webhooks, which keeps what it gets and answers as it is told.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longer than the lease of a delivery whose server was killed.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

pub trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}
/// What makes the connection on which requests come, of one over TCP.
pub type Wrap = Arc<dyn Fn(TcpStream) -> Box<dyn Wire> + Send + Sync>;

#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    /// The connection is closed without a reply.
    Close,
}

#[derive(Debug)]
pub struct Got {
    pub method: String,
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Got {
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).clone()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Count(Mutex<usize>, Condvar);

pub struct Receiver {
    port: u16,
    got: Channel<Got>,
    count: Arc<Count>,
}

impl Receiver {
    /// Answers 200.
    pub fn start() -> Receiver {
        Receiver::answering([])
    }

    /// Answers so, and then 200.
    pub fn answering(answers: impl IntoIterator<Item = Answer>) -> Receiver {
        Receiver::new(answers.into_iter().collect(), false, None)
    }

    /// Takes requests, and never answers one.
    pub fn silent() -> Receiver {
        Receiver::new(Vec::new(), true, None)
    }

    /// Answers 200, on connections that are wrapped so.
    pub fn through(wrap: Wrap) -> Receiver {
        Receiver::new(Vec::new(), false, Some(wrap))
    }

    fn new(answers: Vec<Answer>, is_silent: bool, wrap: Option<Wrap>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, got) = channel();
        let count: Arc<Count> = Arc::default();
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let counted = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, answers) = (sender.clone(), answers.clone());
                let (counted, wrap) = (counted.clone(), wrap.clone());
                std::thread::spawn(move || {
                    let mut next = || answers.lock().unwrap().next().unwrap_or(Answer::Status(200));
                    let answer = |got| {
                        *counted.0.lock().unwrap() += 1;
                        counted.1.notify_all();
                        let _ = sender.send(got);
                        (!is_silent).then(&mut next)
                    };
                    match wrap {
                        None => serve(stream, answer),
                        Some(wrap) => serve(wrap(stream), answer),
                    }
                });
            }
        });
        Receiver { port, got, count }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.authority())
    }

    /// The next request that it gets.
    pub fn next(&self) -> Got {
        self.got.recv_timeout(TEST_TIMEOUT).expect("a webhook")
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        *self.count.0.lock().unwrap()
    }

    pub fn wait_for(&self, count: usize) {
        let (got, changed) = (&self.count.0, &self.count.1);
        let fewer = |got: &mut usize| *got < count;
        let waited = changed.wait_timeout_while(got.lock().unwrap(), TEST_TIMEOUT, fewer).unwrap();
        assert!(!waited.1.timed_out(), "{count} requests never came");
    }
}

/// One request on a connection; bytes that are not a request close it.
fn serve<S: Read + Write>(stream: S, answer: impl FnOnce(Got) -> Option<Answer>) {
    let mut reader = BufReader::new(stream);
    let Some(got) = read(&mut reader) else { return };
    let answer = answer(got);
    let mut stream = reader.into_inner();
    let reply = match answer {
        None => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            return;
        }
        Some(Answer::Close) => return,
        Some(Answer::Status(status)) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"),
        Some(Answer::Redirect(url)) => {
            format!("HTTP/1.1 307 X\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n")
        }
    };
    let _ = stream.write_all(reply.as_bytes());
    let _ = stream.flush();
}

fn read(reader: &mut impl BufRead) -> Option<Got> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_string);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_string());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Got { method, target, headers, body: String::from_utf8(body).ok()? })
}
