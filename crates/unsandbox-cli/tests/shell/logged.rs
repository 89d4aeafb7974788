// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve` as a child, with its log line by line.
#![allow(dead_code)]

use crate::shell::unsandbox;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// How long a test waits for an event before it fails.
pub const TIME: Duration = Duration::from_secs(30);

pub struct Logged {
    pub child: Child,
    pub address: String,
    log: Receiver<String>,
    /// Lines that were read so far.
    seen: Vec<String>,
}

impl Logged {
    pub fn serve(args: &[&str]) -> Logged {
        let mut command = unsandbox(&["serve", "--isolation", "auto"]);
        command.args(args);
        Logged::start(command)
    }

    /// Waits until it listens.
    pub fn start(mut command: Command) -> Logged {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let address = out.recv_timeout(TIME).unwrap_or_else(|_| {
            panic!("it does not listen: {:?}", log.iter().collect::<Vec<_>>());
        });
        let address = address.strip_prefix("listening on ").unwrap().to_string();
        Logged { child, address, log, seen: Vec::new() }
    }

    /// The next line with these words.
    pub fn wait_for_log(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(TIME) else {
                panic!("no line of the log has {words:?}: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until every process that writes this log has ended.
    pub fn wait_for_end_of_log(&mut self) {
        loop {
            match self.log.recv_timeout(TIME) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("a process goes on: {:#?}", self.seen),
            }
        }
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
