// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls the built command as a shell would, with nothing of this machine's configuration.
#![allow(dead_code)]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The command with a clean environment and no standard input.
pub fn unsandbox(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unsandbox"));
    for (name, _) in std::env::vars_os() {
        if ["UNSANDBOX_", "OTEL_"].iter().any(|it| name.to_string_lossy().starts_with(it)) {
            command.env_remove(name);
        }
    }
    let home = env!("CARGO_TARGET_TMPDIR");
    command.env("HOME", home).env("XDG_STATE_HOME", own_state(home));
    command.args(args).stdin(Stdio::null());
    command
}

/// A place for the store of one server: two with one store would share their jobs.
fn own_state(home: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    format!("{home}/state-{process}-{count}")
}

#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code().unwrap_or_else(|| panic!("ended by {}", output.status)),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

pub fn call(args: &[&str]) -> Ended {
    unsandbox(args).output().unwrap().into()
}

pub fn call_with_stdin(args: &[&str], stdin: &[u8]) -> Ended {
    let mut child = unsandbox(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read its input is allowed to end before it is written.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap().into()
}

/// With the signals that a terminal would give it, whatever this test was started with (nohup, say).
pub fn start(args: &[&str]) -> Child {
    let plain = unsandbox(args);
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,TERM").arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts a server; gives it with the address at which it listens.
pub fn listening(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let Some(address) = line.trim().strip_prefix("listening on ") else {
        let mut err = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut err).unwrap();
        }
        panic!("it does not listen: {line:?} {err}");
    };
    (child, address.to_string())
}

pub fn signal(child: &Child, name: &str) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match name {
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "HUP" => Signal::HUP,
        "KILL" => Signal::KILL,
        "USR2" => Signal::USR2,
        _ => panic!("{name} is not a signal that the tests send"),
    };
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A program for bash that asks the gateway for `url` and prints the body of what it answers.
pub fn get_by_gateway(url: &str) -> String {
    let head = format!("GET {url} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n");
    format!("exec 3<>/dev/tcp/127.0.0.1/3128; printf '{head}' >&3; sed '1,/^\\r$/d' <&3; exec 3<&-")
}

/// An empty directory of this test.
pub fn scratch(name: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A terminal: the side of the person, and the side of the program.
pub fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    let program = File::options().read(true).write(true).open(name).unwrap();
    (File::from(person), program)
}
