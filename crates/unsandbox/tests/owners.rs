// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server in front of a server: `Remote` is a backend like any other, and its jobs have owners.

#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{keyed, start};
use unsandbox::{
    CallOptions, CancelToken, Client, Error, ErrorCode, Job, JobEvent, Offsets, Page, Request,
    Status, Stream,
};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{Backend, CallContext, EventSink, Submission};
use unsandbox_server::{Listen, Server, ServerOptions};

/// A server with two keys whose programs run at another one.
struct Front {
    address: String,
    stop: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    fn of(upstream: &str) -> Front {
        let remote = Client::builder().base_url(upstream).no_proxy().remote().unwrap();
        let server = Server::new(Arc::new(remote), keyed("alice-0123456789 bob-0123456789"));
        let bound = server.bind(&Listen::parse("127.0.0.1:0").unwrap()).unwrap();
        let (address, stop) = (bound.address().to_string(), CancelToken::new());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || bound.run_until(&stopped, &stopped).unwrap());
        Front { address, stop, thread: Some(thread) }
    }

    fn client(&self, key: &str) -> Client {
        Client::builder().base_url(&self.address).api_key(key).no_proxy().build().unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn output_comes_live_through_both_servers() {
    let upstream = start(ServerOptions::default());
    let front = Front::of(&upstream.address);
    let alice = front.client("alice-0123456789");
    let (sender, pieces) = channel();
    let options = CallOptions::new().on_output(move |_, bytes| {
        let _ = sender.send(bytes.to_vec());
    });
    let call = std::thread::spawn({
        let alice = alice.clone();
        move || alice.with(options).execute(&code("hold"))
    });
    upstream.backend.wait_for(&Status::Running, 1);
    // The submission, the front's run, and the stream for its client.
    upstream.backend.wait_for_sinks("job-1", 3);
    upstream.backend.print("job-1", Stream::Stdout, b"first");
    assert_eq!(pieces.recv_timeout(Duration::from_secs(20)).unwrap(), b"first");
    upstream.backend.release();
    assert_eq!(call.join().unwrap().unwrap().stdout, b"first");
    let job = alice.execute_async(&code("hold")).unwrap();
    let mut events = alice.job_events(&job.job_id, Offsets::default()).unwrap();
    assert!(matches!(events.next(), Some(Ok(JobEvent::Queued(_)))));
    assert!(matches!(events.next(), Some(Ok(JobEvent::Started(_)))));
    upstream.backend.print(&job.job_id, Stream::Stdout, b"live");
    let Some(Ok(JobEvent::Output { bytes, .. })) = events.next() else { panic!("output") };
    assert_eq!(bytes, b"live");
    upstream.backend.release();
    assert!(matches!(events.next(), Some(Ok(JobEvent::Finished(_)))));
    let bob = front.client("bob-0123456789");
    let mut others = bob.job_events(&job.job_id, Offsets::default()).unwrap();
    assert_eq!(others.next().unwrap().unwrap_err().code(), ErrorCode::NotFound);
}

fn code(code: &str) -> Request {
    Request::new("python", code)
}

#[test]
fn the_jobs_of_one_key_are_unknown_to_another() {
    let upstream = start(ServerOptions::default());
    let front = Front::of(&upstream.address);
    let (alice, bob) = (front.client("alice-0123456789"), front.client("bob-0123456789"));
    let held = alice.execute_async(&code("hold")).unwrap().job_id;
    let done = alice.execute(&code("done")).unwrap().job_id.expect("it is told");
    let others = bob.execute_async(&code("hold")).unwrap().job_id;
    let ids = |client: &Client| -> Vec<String> {
        client.list_jobs().unwrap().into_iter().map(|job| job.job_id).collect()
    };
    assert_eq!((ids(&alice), ids(&bob)), (vec![held.clone()], vec![others.clone()]));
    // A page has jobs of its owner alone, and as many as there are.
    let first = Page { limit: Some(1), after: None };
    for (client, id) in [(&alice, &held), (&bob, &others)] {
        let listed = client.list_jobs_page(&first).unwrap();
        assert_eq!((&listed.jobs[0].job_id, listed.jobs.len(), listed.has_more), (id, 1, false));
        let behind = client.list_jobs_page(&Page { after: Some(id.clone()), ..first.clone() });
        assert!(behind.unwrap().jobs.is_empty());
    }
    let foreign = Page { after: Some(held.clone()), ..Page::default() };
    assert_eq!(bob.list_jobs_page(&foreign).unwrap_err().code(), ErrorCode::Argument);
    for (stranger, id) in [(&bob, &held), (&bob, &done), (&alice, &others)] {
        let asked = [
            stranger.get_job(id).map(drop),
            stranger.wait_job(id, None).map(drop),
            stranger.cancel_job(id).map(drop),
            stranger.delete_job(id),
        ];
        for answer in asked {
            assert_eq!(answer.unwrap_err().code(), ErrorCode::NotFound, "{id}");
        }
    }
    assert_eq!(alice.get_job(&held).unwrap().status, Status::Running);
    assert_eq!(alice.get_job(&done).unwrap().status, Status::Completed);
    assert_eq!(alice.cancel_job(&held).unwrap().status, Status::Cancelled);
    alice.delete_job(&held).unwrap();
    assert_eq!(alice.get_job(&held).unwrap_err().code(), ErrorCode::NotFound);
    // The holder of the key upstream sees what it holds.
    let direct = Client::builder().base_url(&upstream.address).no_proxy().build().unwrap();
    assert_eq!(ids(&direct), [others]);
}

#[test]
fn a_remote_is_the_backend_of_a_client_and_never_local() {
    let upstream = start(ServerOptions::default());
    let remote = Client::builder().base_url(&upstream.address).no_proxy().remote().unwrap();
    let client = Client::from_backend(Arc::new(remote), &upstream.address);
    let capabilities = client.backend().unwrap().capabilities();
    assert!(capabilities.keeps_jobs && !capabilities.streams_stdin);
    assert_eq!(client.execute(&code("hello")).unwrap().stdout, b"hello");
    let error = Client::builder().base_url("local:").remote().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);
    assert!(error.message().contains("local:"), "{error}");
    let error = Client::builder().base_url(&upstream.address).egress_allow("x").remote();
    assert_eq!(error.unwrap_err().code(), ErrorCode::Config);
}

/// Threads of this process that watch jobs.
fn watching() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.trim_end() == "unsandbox-watch").count()
}

struct Watcher {
    is_wanted: bool,
    ends: Mutex<Sender<Result<Job, Error>>>,
}

impl EventSink for Watcher {
    fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    fn finished(&self, end: Result<Job, Error>) {
        let _ = self.ends.lock().unwrap().send(end);
    }
}

#[test]
fn a_job_has_one_thread_however_many_watch_it() {
    let upstream = start(ServerOptions::default());
    let remote = Client::builder().base_url(&upstream.address).no_proxy().remote().unwrap();
    let submission = Submission::validated(code("hold")).unwrap();
    let job = remote.submit_job(submission, Arc::new(NoSink)).unwrap();
    let (ends, ended) = channel();
    for number in 0..100 {
        let sink = Watcher { is_wanted: number % 2 == 0, ends: Mutex::new(ends.clone()) };
        remote.watch(&job.job_id, &CallContext::default(), Arc::new(sink)).unwrap();
    }
    // A thread names itself when it runs.
    let named = Instant::now() + Duration::from_secs(20);
    while watching() == 0 && Instant::now() < named {
        std::thread::yield_now();
    }
    assert_eq!(watching(), 1);
    remote.cancel_job(&job.job_id, &CallContext::default()).unwrap();
    for _ in 0..50 {
        let end = ended.recv_timeout(Duration::from_secs(40)).expect("each wanted sink has it");
        assert_eq!(end.unwrap().status, Status::Cancelled);
    }
}
