// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server of ours in a process of its own, which is killed or stopped while a client waits, and started
//! again on the same port. Each start of a program is counted where it happens: at the server.

use crate::support::Fake;
use crate::table::{Outcome, Row, end_of};
use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unsandbox::protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox::{
    Backend, CallContext, CancelToken, Client, Error, EventSink, ExecutionResult, Job, JobPage,
    Page, Probe, Request, Submission, ValidRequest,
};
use unsandbox_server::{KeyRing, Keys, Listen, Server, ServerOptions};

pub const HEAD: &str = "| fault | outcome | starts | within |\n|---|---|---|---|\n";

/// What the process of a server is told.
const TASK: &str = "UNSANDBOX_TEST_SERVER";
const PAIR: (&str, &str) = ("unsb-pk-test-key", "unsb-sk-test-key");
/// Below the ports that the system gives to others by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What is asked of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Execute,
    Run,
    ExecuteAsync,
    RunAsync,
    WaitJob,
}

/// How the server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Killed,
    /// With the program that it runs, after its grace.
    Stopped,
}

#[derive(Clone, Copy)]
pub struct Restart {
    call: Call,
    end: End,
    /// The client has a key pair, and signs.
    signed: bool,
    /// Another process takes its place.
    comes_back: bool,
}

const UNKNOWN: &str = "CONNECT, may have run; 1";
/// It was asked, and refused what the old one may have.
const REFUSED: &str = "CONNECT, may have run, refused by the new one; 1";

pub fn rows() -> Vec<Row> {
    let killed = Restart { call: Call::Execute, end: End::Killed, signed: false, comes_back: true };
    let row = |fault, outcome, restart| Row::restart(fault, outcome, restart);
    let call = |call| Restart { call, ..killed };
    let signed = |call| Restart { call, signed: true, ..killed };
    let stopped = |call| Restart { call, end: End::Stopped, ..killed };
    let gone = Restart { comes_back: false, ..killed };
    vec![
        row("`kill -9` and a new start, in `execute`", REFUSED, call(Call::Execute)),
        row("`kill -9` and a new start, in `run`", REFUSED, call(Call::Run)),
        row("`kill -9` and a new start, in `execute_async`", REFUSED, call(Call::ExecuteAsync)),
        row("`kill -9` and a new start, in `run_async`", REFUSED, call(Call::RunAsync)),
        row("the same in `execute`, signed by a key pair", REFUSED, signed(Call::Execute)),
        row("the same in `run`, signed by a key pair", REFUSED, signed(Call::Run)),
        row(
            "the same in `execute_async`, signed by a key pair",
            REFUSED,
            signed(Call::ExecuteAsync),
        ),
        row("the same in `run_async`, signed by a key pair", REFUSED, signed(Call::RunAsync)),
        row("`kill -9` and no new start, in `execute`", UNKNOWN, gone),
        row(
            "`kill -9` and a new start, while a job is waited for",
            "JOB_LOST, may have run; 1",
            call(Call::WaitJob),
        ),
        row(
            "a stop and a new start, in `execute`",
            "answered: cancelled; 1",
            stopped(Call::Execute),
        ),
        row("a stop and a new start, in `run`", "answered: cancelled; 1", stopped(Call::Run)),
    ]
}

impl Restart {
    pub fn play(&self) -> Outcome {
        let starts = TcpListener::bind("127.0.0.1:0").unwrap();
        let task = |hold, port| Task {
            port,
            starts: starts.local_addr().unwrap().port(),
            hold,
            keyed: self.signed,
        };
        // A submission whose reply never comes, or a run that does not end.
        let hold = match (self.call, self.end) {
            (Call::WaitJob, _) | (_, End::Stopped) => Hold::Run,
            _ => Hold::Submission,
        };
        let mut server = Process::start_anywhere(|port| task(hold, port));
        let url = format!("http://127.0.0.1:{}", server.port);
        let client = Client::builder().base_url(url).no_proxy();
        // Enough attempts that one meets the new process, however late that is.
        let client = client.retries(if self.comes_back { 7 } else { 3 });
        let client = match self.signed {
            true => client.key_pair(PAIR.0, PAIR.1),
            false => client,
        };
        let waiting = self.call.begin(client.build().unwrap());
        await_start(&starts);
        match self.end {
            End::Killed => server.child.kill().unwrap(),
            End::Stopped => drop(server.child.stdin.take()),
        }
        server.child.wait().unwrap();
        let _new = self.comes_back.then(|| Process::start(task(Hold::Nothing, server.port)));
        let end = waiting.join().unwrap();
        // Whoever started a program has connected before its client had the answer.
        let starts = 1 + std::iter::from_fn(|| starts.accept().ok()).count();
        Outcome { end, submissions: starts, runs: starts }
    }
}

impl Call {
    /// What the call comes to, on a thread of its own.
    fn begin(self, client: Client) -> JoinHandle<String> {
        let code = "#!/usr/bin/env python3\nhold";
        let (named, detected) = (Request::new("python", code), Request::detect(code));
        match self {
            Call::Execute => std::thread::spawn(move || told(&client.execute(&named))),
            Call::Run => std::thread::spawn(move || told(&client.run(&detected))),
            Call::ExecuteAsync => std::thread::spawn(move || job(&client.execute_async(&named))),
            Call::RunAsync => std::thread::spawn(move || job(&client.run_async(&detected))),
            Call::WaitJob => {
                let id = client.execute_async(&named).unwrap().job_id;
                std::thread::spawn(move || told(&client.wait_job(&id, None)))
            }
        }
    }
}

fn told(end: &Result<ExecutionResult, Error>) -> String {
    match end {
        Ok(result) => format!("answered: {}", result.status.as_str()),
        Err(error) => refused(error, end_of(end)),
    }
}

fn job(end: &Result<Job, Error>) -> String {
    match end {
        Ok(_) => end_of(end),
        Err(error) => refused(error, end_of(end)),
    }
}

fn refused(error: &Error, told: String) -> String {
    let by_the_new_one = error.message().contains("restarted or replaced");
    told + if by_the_new_one { ", refused by the new one" } else { "" }
}

/// The program has been started; a call that ends without it fails the test.
fn await_start(starts: &TcpListener) {
    starts.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while starts.accept().is_err() {
        assert!(Instant::now() < deadline, "no program was started");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a server does with the program that it has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    /// Ends it at once.
    Nothing,
    /// Keeps it running.
    Run,
    /// Does not even answer the submission.
    Submission,
}

struct Task {
    port: u16,
    /// Where each start of a program is told.
    starts: u16,
    hold: Hold,
    keyed: bool,
}

struct Process {
    child: Child,
    port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// On a port that nobody has.
    fn start_anywhere(task: impl Fn(u16) -> Task) -> Process {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = (std::process::id() % 600) as u16 * 20;
        loop {
            let next = own + NEXT.fetch_add(1, Ordering::SeqCst);
            let port = PORTS.start + next % (PORTS.end - PORTS.start);
            if let Some(process) = Process::try_start(task(port)) {
                return process;
            }
        }
    }

    fn start(task: Task) -> Process {
        Process::try_start(task).expect("a server on the port of the one before")
    }

    /// This test program again, as [`serve`]; `None` where it cannot have the port.
    fn try_start(Task { port, starts, hold, keyed }: Task) -> Option<Process> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["every_fault_has_its_outcome", "--exact", "--nocapture"])
            .env(TASK, format!("{port} {starts} {hold:?} {keyed}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let listens = lines.any(|line| line.is_ok_and(|line| line.ends_with("listening")));
        let process = Process { child, port };
        listens.then_some(process)
    }
}

pub fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// The process of a server: until it is killed, or its standard input ends.
pub fn serve(task: &str) {
    let words: Vec<&str> = task.split(' ').collect();
    let [port, starts, hold, keyed] = words[..] else { panic!("{task}") };
    let hold = [Hold::Run, Hold::Submission].into_iter().find(|it| format!("{it:?}") == hold);
    let backend = Counted {
        fake: Fake::default(),
        starts: SocketAddr::from(([127, 0, 0, 1], starts.parse().unwrap())),
        hold: hold.unwrap_or(Hold::Nothing),
    };
    let keys = match keyed {
        "true" => Keys::from_words(&format!("{}:{}", PAIR.0, PAIR.1)).unwrap(),
        _ => Keys::default(),
    };
    let keys = KeyRing::of(keys);
    let options = ServerOptions { keys, grace: Duration::ZERO, ..ServerOptions::default() };
    let listen = Listen::parse(&format!("127.0.0.1:{port}")).unwrap();
    let Ok(bound) = Server::new(Arc::new(backend), options).bind(&listen) else { return };
    let stop = CancelToken::new();
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            let _ = std::io::stdin().read(&mut [0]);
            stop.cancel();
        }
    });
    println!("listening");
    bound.run_until(&stop, &CancelToken::new()).unwrap();
}

/// Tells of each start.
struct Counted {
    fake: Fake,
    starts: SocketAddr,
    hold: Hold,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Backend for Counted {
    fn submit(&self, mut submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        if self.hold == Hold::Run {
            let asked = submission.request.clone().into_request().into_owned();
            let held = Request { code: "hold".to_string(), ..asked };
            submission.request = ValidRequest::new(Cow::Owned(held)).unwrap();
            self.fake.submit(submission, sink);
            drop(TcpStream::connect(self.starts).unwrap());
            return;
        }
        drop(TcpStream::connect(self.starts).unwrap());
        if self.hold == Hold::Submission {
            loop {
                std::thread::park();
            }
        }
        self.fake.submit(submission, sink);
    }

    fn cancel(
        &self,
        id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.fake.cancel(id, context, sink)
    }

    fn get_job(&self, id: &str, context: &CallContext) -> Result<Job, Error> {
        self.fake.get_job(id, context)
    }

    fn watch(
        &self,
        id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.fake.watch(id, context, sink)
    }

    fn delete_job(&self, id: &str, context: &CallContext) -> Result<(), Error> {
        self.fake.delete_job(id, context)
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.fake.list_jobs(page, context)
    }

    fn languages(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        self.fake.languages(context)
    }

    fn validate_key(&self, context: &CallContext) -> Result<KeyInfo, Error> {
        self.fake.validate_key(context)
    }

    fn health(&self, context: &CallContext) -> Result<Health, Error> {
        self.fake.health(context)
    }

    fn probe(&self, context: &CallContext) -> Result<Probe, Error> {
        self.fake.probe(context)
    }

    fn close(&self, grace: Duration) {
        self.fake.close(grace);
    }
}
