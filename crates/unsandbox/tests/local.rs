// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client over the engine in this process: what the client adds to it.
#![cfg(all(feature = "engine", target_os = "linux"))]

use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox::{
    Call, CallOptions, CancelToken, Capabilities, Client, Error, ErrorCode, Request, Status,
    Stream, Task,
};

fn client() -> Client {
    Client::builder().base_url("local:").build().unwrap()
}

/// Says when it runs, then runs for long.
fn endless() -> Request {
    Request::new("bash", "echo part; exec sleep 60")
}

/// Options that tell when the program has written something.
fn watched() -> (CallOptions, CancelToken, Receiver<()>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let options = CallOptions::new().on_output(move |_, _| {
        let _ = tell.lock().unwrap().send(());
    });
    let cancel = options.cancel.clone();
    (options, cancel, told)
}

#[test]
fn execute_and_run() {
    let client = client();
    assert!(client.is_local() && client.endpoint_is_explicit());
    // Also behind another name.
    let wrapped = Client::from_backend(client.backend().unwrap().clone(), "wrapped:");
    assert!(!wrapped.is_local());
    assert_eq!(wrapped.backend().unwrap().capabilities(), Capabilities::IN_PROCESS);
    let result = client.execute(&Request::new("sh", "echo hello; exit 7")).unwrap();
    assert_eq!(
        (&result.stdout[..], result.exit_code, result.success),
        (&b"hello\n"[..], Some(7), false)
    );
    assert!(result.isolation.is_some() && result.raw.is_none());
    let result = client.run(&Request::new("cobol", "#!/bin/bash\necho $0 $1").arg("x")).unwrap();
    assert_eq!(result.detected_language.as_deref(), Some("bash"));
    assert!(result.stdout_text().ends_with(" x\n"), "{result:?}");
    let error = client.execute(&Request::detect("echo")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    assert!(client.validate_key().unwrap().valid && client.health().unwrap().healthy);
    assert!(
        client.languages().unwrap().iter().any(|l| l.name == "bash" && l.available == Some(true))
    );
    assert!(client.probe().unwrap().level.is_some());
    // Two programs ran; neither the refused one nor the versions of the languages count.
    let usage = client.usage().unwrap();
    assert_eq!((usage.running, usage.runs), (0, [("completed".to_string(), 2)].into()));
    assert!(usage.key.is_none() && usage.raw.is_none() && usage.limits.concurrency > 0);
}

#[test]
fn streams_in_and_out() {
    let client = client();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let options = CallOptions::new()
        .stdin((&b"in\n"[..]).chain(&b"put\n"[..]))
        .on_output(move |stream, bytes| sink.lock().unwrap().push((stream, bytes.to_vec())));
    let result = client.with(options).execute(&Request::new("bash", "cat; echo err >&2")).unwrap();
    assert_eq!(result.stdout, b"in\nput\n");
    let of = |wanted: Stream| -> Vec<u8> {
        let seen = seen.lock().unwrap();
        seen.iter().filter(|(stream, _)| *stream == wanted).flat_map(|(_, b)| b.clone()).collect()
    };
    assert_eq!(
        (of(Stream::Stdout), of(Stream::Stderr)),
        (b"in\nput\n".to_vec(), b"err\n".to_vec())
    );
}

#[test]
fn a_token_ends_the_program() {
    let client = client();
    let (options, cancel, running) = watched();
    let caller = client.clone();
    let thread = std::thread::spawn(move || caller.with(options).execute(&endless()));
    running.recv_timeout(Duration::from_secs(20)).unwrap();
    let begun = Instant::now();
    cancel.cancel();
    let error = thread.join().unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert!(error.job_id().is_some());
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[test]
fn a_deadline_ends_the_program() {
    let client = client();
    let options = CallOptions::new().deadline(Duration::from_millis(500));
    let error = client.with(options).execute(&endless()).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
    let options = CallOptions::new().deadline(Duration::from_millis(500));
    let task = client.start_execute(endless(), options, None).unwrap();
    assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Timeout);
}

#[test]
fn a_call_ends_at_its_deadline_although_a_callback_blocks_the_engine() {
    let deadline = Duration::from_millis(300);
    let builder = || Client::builder().base_url("local:");
    let settings = [
        (builder(), CallOptions::new().deadline(deadline)),
        (builder().timeout(deadline), CallOptions::new()),
    ];
    for (builder, options) in settings {
        let client = builder.build().unwrap();
        let (release, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let options = options.on_output(move |_, _| {
            let _ = gate.lock().unwrap().recv();
        });
        let begun = Instant::now();
        let error = client.with(options).execute(&endless()).unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
        assert!(error.job_id().is_some());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(release);
    }
}

fn own_threads() -> usize {
    let own = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()?;
        name.starts_with("unsandbox-call").then_some(())
    };
    std::fs::read_dir("/proc/self/task").unwrap().filter_map(own).count()
}

#[test]
fn a_task_needs_no_thread_of_its_own() {
    let client = client();
    let (options, _, running) = watched();
    let (tell, told) = channel();
    let notify: unsandbox::Notify = Box::new(move || tell.send(()).unwrap());
    let task: Task<_> = client.start_execute(endless(), options, Some(notify)).unwrap();
    running.recv_timeout(Duration::from_secs(20)).unwrap();
    let others =
        client.start_run(Request::detect("#!/bin/sh\nsleep 60\n"), CallOptions::new(), None);
    let others = others.unwrap();
    // The other tests of this process may have one each, for deadlines and for nothing else.
    assert!(own_threads() <= 1, "{}", own_threads());
    assert!(task.wait(Some(Duration::from_millis(20))).is_none() && !task.is_done());
    task.cancel();
    others.cancel();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Cancelled);
    assert_eq!(others.wait(None).unwrap().unwrap_err().code(), ErrorCode::Cancelled);
}

#[test]
fn jobs_live_as_long_as_the_client() {
    let client = client();
    let job = client.execute_async(&Request::new("bash", "echo done")).unwrap();
    let result = client.wait_job(&job.job_id, Some(Duration::from_secs(20))).unwrap();
    assert_eq!(result.stdout, b"done\n");
    assert_eq!(client.get_job(&job.job_id).unwrap().status, Status::Completed);

    let (options, _, running) = watched();
    let job = client.with(options).execute_async(&endless()).unwrap();
    running.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(client.list_jobs().unwrap().iter().any(|listed| listed.job_id == job.job_id));
    let error = client.wait_job(&job.job_id, Some(Duration::from_millis(50))).unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some(job.job_id.as_str())));
    let cancelled = client.cancel_job(&job.job_id).unwrap();
    assert_eq!((cancelled.status, &cancelled.stdout[..]), (Status::Cancelled, &b"part\n"[..]));
    assert_eq!(cancelled.exit_code, Some(-1));
    client.delete_job(&job.job_id).unwrap();
    assert_eq!(client.get_job(&job.job_id).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(client.get_job("no-such-job").unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(client.wait_job("no-such-job", None).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn closing_ends_what_runs() {
    let client = client();
    let (options, _, running) = watched();
    let task = client.start_execute(endless(), options, None).unwrap();
    running.recv_timeout(Duration::from_secs(20)).unwrap();
    client.close();
    let end = task.wait(Some(Duration::from_secs(20))).expect("the task ends with its client");
    assert!(end.is_err() || end.is_ok_and(|result| !result.success));
    let error = client.execute(&Request::new("bash", "")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    client.close();
}

/// A question with options, for a job of the client.
type Question = fn(Call<'_>, &str) -> Result<(), Error>;

const QUESTIONS: [(&str, Question); 8] = [
    ("get_job", |call, id| call.get_job(id).map(drop)),
    ("delete_job", |call, id| call.delete_job(id)),
    ("list_jobs", |call, _| call.list_jobs().map(drop)),
    ("languages", |call, _| call.languages().map(drop)),
    ("validate_key", |call, _| call.validate_key().map(drop)),
    ("usage", |call, _| call.usage().map(drop)),
    ("health", |call, _| call.health().map(drop)),
    ("probe", |call, _| call.probe().map(drop)),
];

#[test]
fn every_question_keeps_the_deadline_and_the_token_of_its_call() {
    let client = client();
    let id = client.execute_async(&Request::new("bash", "true")).unwrap().job_id;
    for (name, ask) in QUESTIONS {
        let over = CallOptions::new().deadline(Duration::ZERO);
        let error = ask(client.with(over), &id).expect_err(name);
        assert_eq!(error.code(), ErrorCode::Timeout, "{name}");
        let cancelled = CallOptions::new();
        cancelled.cancel.cancel();
        let error = ask(client.with(cancelled), &id).expect_err(name);
        assert_eq!(error.code(), ErrorCode::Cancelled, "{name}");
    }
}

#[test]
fn a_question_that_takes_long_is_left_at_its_deadline() {
    // Every runtime is asked for its version, which takes some seconds.
    let soon = Duration::from_millis(1);
    let begun = Instant::now();
    let client = client();
    let error = client.with(CallOptions::new().deadline(soon)).languages().unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, false));
    let set = Client::builder().base_url("local:").timeout(soon).build().unwrap();
    assert_eq!(set.languages().unwrap_err().code(), ErrorCode::Timeout, "the client's setting");
    let options = CallOptions::new();
    let cancel = options.cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        cancel.cancel();
    });
    let other = Client::builder().base_url("local:").build().unwrap();
    assert_eq!(other.with(options).languages().unwrap_err().code(), ErrorCode::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    canceller.join().unwrap();
}

#[test]
fn a_default_runtime_is_taken_where_it_can_run_and_the_result_says_which() {
    let bash = Request::new("bash", "echo ran");
    let of = |client: &Client, request: &Request| client.execute(request).unwrap().runtime.unwrap();
    let usual = of(&client(), &bash);
    assert!(usual.ends_with("/bash"), "{usual}");
    // By another path, which no search finds.
    let folder = std::env::temp_dir().join(format!("unsandbox-default-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("bash");
    std::fs::copy(&usual, &copy).unwrap();
    let with = |path: &std::path::Path| {
        let builder = Client::builder().base_url("local:");
        builder.default_runtime("sh", "/no/such").default_runtime("bash", path).build().unwrap()
    };
    let chosen = with(&copy);
    assert_eq!(of(&chosen, &bash), copy.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(of(&chosen, &bash.clone().runtime(usual.as_str())), usual);
    for unusable in ["/no/such/bash", "bash", "/etc/passwd", ""] {
        assert_eq!(of(&with(unusable.as_ref()), &bash), usual, "{unusable:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn settings_that_cannot_be_used_are_refused_when_the_client_is_made() {
    for base_url in ["local:", "http://127.0.0.1:1", "unix:/nowhere"] {
        let builder = || Client::builder().base_url(base_url);
        for (builder, words) in [
            (builder().ca_file("/no/such.pem"), "cannot be read"),
            (builder().ca_file("/etc/passwd"), "holds no certificate"),
            (builder().proxy("gopher://h"), "not a supported proxy URL"),
        ] {
            let error = builder.build().unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(builder().egress_allow("a b").build().is_err());
    }
}
