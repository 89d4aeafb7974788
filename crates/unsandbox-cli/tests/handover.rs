// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server that is replaced while it serves, by SIGUSR2 and with sockets of systemd: no request fails, jobs go on, and a
//! successor that cannot start changes nothing.

#[path = "shell/logged.rs"]
mod logged;
mod shell;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use logged::{Logged, TIME};
use rustix::process::{Pid, Signal, kill_process};
use shell::{call, scratch, signal, unsandbox};
use std::fs::Permissions;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{Reply, Wire, read_reply, request};

/// The process that has replaced a server, ended with the test.
struct Successor(Pid);

impl Successor {
    /// Replaces a server, and waits until another process serves.
    fn of(server: &mut Logged) -> Successor {
        signal(&server.child, "USR2");
        let line = server.wait_for_log(" serves; this one ends with its last request");
        let id = line.split("the process ").nth(1).unwrap().split(' ').next().unwrap();
        Successor(Pid::from_raw(id.parse().unwrap()).unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

fn connect(address: &str) -> Box<dyn Wire> {
    match address.strip_prefix("unix:") {
        Some(path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(TIME)).unwrap();
            Box::new(stream)
        }
        None => {
            let stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
            stream.set_read_timeout(Some(TIME)).unwrap();
            Box::new(stream)
        }
    }
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> Reply {
    let mut stream = connect(address);
    stream.write_all(&request("localhost", method, path, "", body.as_bytes())).unwrap();
    read_reply(&mut *stream)
}

fn body(code: &str) -> String {
    serde_json::json!({"language": "bash", "code": code}).to_string()
}

/// Asks without a pause until it is told to stop: on new connections, and on one that is kept for as long as the server
/// keeps it.
fn load(address: &str, stop: &AtomicBool, answers: &AtomicUsize) {
    let kept = request("localhost", "GET", "/health", "", b"");
    let kept = String::from_utf8(kept).unwrap().replace("Connection: close\r\n", "");
    let mut open: Option<Box<dyn Wire>> = None;
    while !stop.load(Ordering::SeqCst) {
        assert_eq!(ask(address, "GET", "/health", "").status, 200);
        let mut stream = open.take().unwrap_or_else(|| connect(address));
        stream.write_all(kept.as_bytes()).unwrap();
        let head = read_kept(&mut *stream);
        assert!(head.starts_with("http/1.1 200"), "{head}");
        if !head.contains("connection: close") {
            open = Some(stream);
        }
        answers.fetch_add(2, Ordering::SeqCst);
    }
}

/// The head of a reply, in lower case, after its whole body.
fn read_kept(stream: &mut dyn Wire) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head
}

/// Waits until this many further requests were answered.
fn wait_for_answers(answers: &AtomicUsize, more: usize) {
    let (begun, before) = (std::time::Instant::now(), answers.load(Ordering::SeqCst));
    while answers.load(Ordering::SeqCst) < before + more {
        assert!(begun.elapsed() < TIME, "nobody is answered");
        std::thread::yield_now();
    }
}

/// Waits until a program runs.
fn wait_for_run(metrics: &str) {
    let begun = std::time::Instant::now();
    while !ask(metrics, "GET", "/metrics", "").body.contains("unsandbox_running 1") {
        assert!(begun.elapsed() < TIME, "no program runs");
        std::thread::yield_now();
    }
}

#[test]
fn no_request_fails_while_a_server_is_replaced_twice() {
    let socket = scratch("handover-unix").join("s");
    for listen in ["127.0.0.1:0", &format!("unix:{}", socket.display())] {
        // A fixed address of its own, for every process of the series.
        let metrics = format!("unix:{}", socket.with_extension("metrics").display());
        let words = ["--store", "memory", "--grace", "0", "--metrics-listen", &metrics];
        let mut server = Logged::serve(&[&["--listen", listen][..], &words].concat());
        let address = server.address.clone();
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (address, stop, answers) = (address.clone(), stop.clone(), answers.clone());
                std::thread::spawn(move || load(&address, &stop, &answers))
            })
            .collect();
        wait_for_answers(&answers, 20);
        // Longer than the hand-over takes, and than the grace.
        let held = std::thread::spawn({
            let address = address.clone();
            move || ask(&address, "POST", "/execute", &body("sleep 2; echo end"))
        });
        wait_for_run(&metrics);
        let first = Successor::of(&mut server);
        wait_for_answers(&answers, 20);
        assert_eq!(held.join().unwrap().text("stdout"), "end\n");
        first.signal(Signal::USR2);
        let line = server.wait_for_log(" serves; this one ends with its last request");
        let id = line.split("the process ").nth(1).unwrap().split(' ').next().unwrap();
        let second = Successor(Pid::from_raw(id.parse().unwrap()).unwrap());
        wait_for_answers(&answers, 20);
        stop.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert_eq!(ask(&address, "POST", "/execute", &body("echo new")).text("stdout"), "new\n");
        second.signal(Signal::TERM);
        // All of them have ended: the pipe of the log is closed.
        server.wait_for_end_of_log();
        assert!(!socket.exists());
    }
}

#[test]
fn jobs_go_on_while_a_server_is_replaced() {
    let store = scratch("handover-jobs").join("store.db");
    let arguments =
        ["--listen", "127.0.0.1:0", "--store", store.to_str().unwrap(), "--concurrency", "1"];
    let mut server = Logged::serve(&[&arguments[..], &["--grace", "0"]].concat());
    let address = server.address.clone();
    let submit = |code| ask(&address, "POST", "/execute/async", &body(code)).text("job_id");
    let done = submit("echo done");
    let result = |id: &str| {
        // A long poll lasts 30 s at most.
        let job = ask(&address, "GET", &format!("/jobs/{id}?wait=30"), "");
        assert_eq!(job.text("status"), "completed", "{job:?}");
        job.json()["result"]["stdout"].as_str().unwrap().to_string()
    };
    assert_eq!(result(&done), "done\n");
    let running = submit("echo running; sleep 2; echo ran");
    let waiting = submit("echo waited");
    let state = |id: &str| ask(&address, "GET", &format!("/jobs/{id}"), "").text("status");
    while state(&running) != "running" {
        std::thread::yield_now();
    }
    assert_eq!(state(&waiting), "pending");
    let successor = Successor::of(&mut server);
    assert_eq!(state(&running), "running", "it runs in the process that was replaced");
    assert_eq!(result(&waiting), "waited\n");
    assert_eq!(result(&running), "running\nran\n");
    assert_eq!(result(&done), "done\n");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let ended = call(&["store", "check", store.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    successor.signal(Signal::TERM);
    server.wait_for_end_of_log();
}

#[test]
fn a_job_that_comes_by_an_old_connection_is_the_successors() {
    let store = scratch("handover-kept").join("store.db");
    let mut server = Logged::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--store",
        store.to_str().unwrap(),
        "--grace",
        "0",
    ]);
    let address = server.address.clone();
    let mut kept = connect(&address);
    let first = String::from_utf8(request("localhost", "GET", "/health", "", b"")).unwrap();
    kept.write_all(first.replace("Connection: close\r\n", "").as_bytes()).unwrap();
    read_kept(&mut *kept);
    let successor = Successor::of(&mut server);
    let body = body("echo late");
    kept.write_all(&request("localhost", "POST", "/execute/async", "", body.as_bytes())).unwrap();
    let id = read_reply(&mut *kept).text("job_id");
    let job = ask(&address, "GET", &format!("/jobs/{id}?wait=30"), "");
    assert_eq!(job.json()["result"]["stdout"], "late\n", "{job:?}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    successor.signal(Signal::TERM);
    server.wait_for_end_of_log();
}

#[test]
fn a_stop_ends_a_successor_that_does_not_serve_yet() {
    let limits = scratch("handover-stopped").join("limits");
    assert!(Command::new("mkfifo").arg(&limits).status().unwrap().success());
    let writer = std::thread::spawn({
        let limits = limits.clone();
        move || std::fs::write(limits, "[default]\n").unwrap()
    });
    let words = ["--listen", "127.0.0.1:0", "--store", "memory", "--grace", "0", "--key-limits"];
    let mut server = Logged::serve(&[&words[..], &[limits.to_str().unwrap()]].concat());
    writer.join().unwrap();
    signal(&server.child, "USR2");
    // It waits for somebody who writes its limits.
    server.wait_for_log("a successor starts");
    signal(&server.child, "TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    server.wait_for_end_of_log();
    TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap_err();
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let keys = scratch("handover-failed").join("keys");
    std::fs::write(&keys, "bear\n").unwrap();
    std::fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
    let mut server = Logged::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--store",
        "memory",
        "--keys",
        keys.to_str().unwrap(),
    ]);
    std::fs::set_permissions(&keys, Permissions::from_mode(0o644)).unwrap();
    signal(&server.child, "USR2");
    let why = server.wait_for_log("SIGUSR2: this server goes on");
    assert!(why.contains("did not serve (it ended; exit status: 125)"), "{why}");
    assert_eq!(ask(&server.address, "GET", "/health", "").status, 200);
    std::fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
    let successor = Successor::of(&mut server);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert_eq!(ask(&server.address, "GET", "/health", "").status, 200);
    successor.signal(Signal::TERM);
    server.wait_for_end_of_log();
}

/// The command as systemd starts it with these sockets; bash numbers them.
fn activated(sockets: [(OwnedFd, &str); 1], args: &[&str]) -> Command {
    let [(socket, name)] = sockets;
    let plain = unsandbox(&[&["serve", "--isolation", "auto", "--store", "memory"], args].concat());
    let mut command = Command::new("bash");
    command.args(["-c", "export LISTEN_PID=$$; exec 3<&0 </dev/null; exec \"$@\"", "bash"]);
    command.arg(plain.get_program()).args(plain.get_args());
    for (variable, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name).stdin(Stdio::from(socket));
    command
}

#[test]
fn sockets_of_systemd_are_served_and_outlive_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let socket = || OwnedFd::from(listener.try_clone().unwrap());
    let mut server =
        Logged::start(activated([(socket(), "web")], &["--listen", "systemd:web", "--grace", "0"]));
    assert_eq!(server.address, address);
    assert_eq!(ask(&address, "GET", "/health", "").status, 200);
    signal(&server.child, "TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    // systemd keeps the socket: a request waits there for the next process.
    let mut early = connect(&address);
    early.write_all(&request("localhost", "GET", "/health", "", b"")).unwrap();
    let mut next = Logged::start(activated([(socket(), "web")], &["--listen", "systemd"]));
    assert_eq!(read_reply(&mut *early).status, 200);
    let successor = Successor::of(&mut next);
    assert_eq!(ask(&address, "GET", "/health", "").status, 200);
    successor.signal(Signal::TERM);
    let other = activated([(socket(), "web")], &["--listen", "systemd:api"]).output().unwrap();
    let err = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(125) && err.contains("FileDescriptorName="), "{err}");
}

#[test]
fn a_unix_socket_of_systemd_that_others_may_open_needs_keys() {
    let path = scratch("handover-systemd").join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = || OwnedFd::from(listener.try_clone().unwrap());
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let open = activated([(socket(), "s")], &["--listen", "systemd"]).output().unwrap();
    let err = String::from_utf8_lossy(&open.stderr).into_owned();
    assert!(open.status.code() == Some(125) && err.contains("SocketMode=0600"), "{err}");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let mut server =
        Logged::start(activated([(socket(), "s")], &["--listen", "systemd", "--grace", "0"]));
    assert_eq!(ask(&server.address, "GET", "/health", "").status, 200);
    signal(&server.child, "TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(path.exists(), "it is systemd's");
}

#[test]
fn the_service_manager_is_told() {
    let path = scratch("handover-notify").join("n");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIME)).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = unsandbox(&["serve", "--isolation", "auto", "--store", "memory"]);
    command.args(["--listen", "127.0.0.1:0", "--grace", "0"]).env("NOTIFY_SOCKET", &path);
    let mut server = Logged::start(command);
    assert_eq!(told().trim(), "READY=1");
    signal(&server.child, "HUP");
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told().trim(), "READY=1");
    let successor = Successor::of(&mut server);
    assert_eq!(told().trim(), "READY=1");
    assert_eq!(told().trim(), format!("MAINPID={}", successor.0.as_raw_nonzero()));
    successor.signal(Signal::TERM);
    assert_eq!(told().trim(), "STOPPING=1");
    server.wait_for_end_of_log();
}
