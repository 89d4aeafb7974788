// SPDX-License-Identifier: MIT OR Apache-2.0
//! Servers that misbehave: the error, the number of submissions, and how prompt the caller is freed.

mod stub;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stub::{FEATURES, OK, Play, Stub, builder, client, json, ok, with};
use unsandbox::{CallOptions, CancelToken, Client, ErrorCode, Request};

/// Who is freed by an event, not by the next look at the clock, is free by then on a busy machine too;
/// `make bench` prints how soon it is on a quiet one.
const PROMPT: Duration = Duration::from_secs(1);

fn python() -> Request {
    Request::new("python", "print(1)")
}

fn raw(text: impl Into<Vec<u8>>) -> Play {
    Play::Raw(text.into())
}

fn head(extra: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}\r\n")
}

#[test]
fn a_submission_that_may_have_run_is_never_repeated() {
    type Case = (&'static str, fn() -> Play, ErrorCode);
    let cases: Vec<Case> = vec![
        ("closed without a word", || Play::Close, ErrorCode::Connect),
        ("cut in the headers", || raw("HTTP/1.1 200 OK\r\nContent-Le"), ErrorCode::Connect),
        (
            "cut in the body",
            || raw(format!("{}{{\"succ", head("Content-Length: 99\r\n"))),
            ErrorCode::Connect,
        ),
        ("no HTTP", || raw("SSH-2.0-OpenSSH\r\n\r\n"), ErrorCode::Protocol),
        (
            "broken chunks",
            || raw(format!("{}zz\r\n", head("Transfer-Encoding: chunked\r\n"))),
            ErrorCode::Protocol,
        ),
        ("empty", || json(200, ""), ErrorCode::Protocol),
        ("HTML", || json(200, "<html></html>"), ErrorCode::Protocol),
        ("JSON that is cut", || json(200, r#"{"success":tr"#), ErrorCode::Protocol),
        ("no result", || json(200, "{}"), ErrorCode::Protocol),
        ("500", || json(500, ""), ErrorCode::Server),
        ("502", || json(502, "<html>"), ErrorCode::Server),
        ("503 that names no time", || json(503, ""), ErrorCode::Server),
        (
            "503 of a cache whose server did not answer it",
            || with(json(503, "<html>"), "Retry-After: 0"),
            ErrorCode::Server,
        ),
        (
            "503 that names a job",
            || with(json(503, r#"{"error":"busy","job_id":"j"}"#), "Retry-After: 0"),
            ErrorCode::Server,
        ),
        ("504", || json(504, ""), ErrorCode::Server),
    ];
    for (name, play, code) in cases {
        let stub = Stub::start(move |asked| match asked.method.as_str() {
            "POST" => play(),
            // The service answers its health without a word about features.
            _ => json(200, "{}"),
        });
        let error = client(&stub).execute(&python()).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.may_have_run(), "{name}: {error}");
        let posts = stub.lines().iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(posts, 1, "{name}");
    }
}

#[test]
fn a_server_that_knows_idempotency_keys_is_asked_again() {
    for fault in [|| Play::Close, || json(502, ""), || raw("HTTP/1.1 200 OK\r\n")] {
        let posts = AtomicUsize::new(0);
        let stub = Stub::start_whole(move |asked| match asked.method.as_str() {
            "POST" if posts.fetch_add(1, Ordering::SeqCst) < 2 => fault(),
            _ => with(ok(), FEATURES),
        });
        client(&stub).execute(&python()).unwrap();
        let asked = stub.asked();
        let keys: Vec<_> = asked
            .iter()
            .filter(|a| a.method == "POST")
            .map(|a| a.header("idempotency-key").unwrap())
            .collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| *key == keys[0]), "one submission has one key: {keys:?}");
        assert!(keys[0].starts_with("process:0123456789abcdef/"), "it names the store: {keys:?}");
    }
}

#[test]
fn what_surely_did_not_run_is_asked_again() {
    let stub = Stub::sequence(vec![
        || with(json(429, ""), "Retry-After: 0"),
        || with(json(503, r#"{"error":"stopping"}"#), "Retry-After: 0"),
        || with(json(503, r#"{"error":"busy"}"#), "Retry-After: 0"),
        || json(429, r#"{"error":"concurrency_limit_reached"}"#),
        ok,
    ]);
    builder(&stub).retries(4).build().unwrap().execute(&python()).unwrap();
    assert_eq!(stub.asked().len(), 5);

    let patient =
        Stub::start(|_| with(json(429, r#"{"message":"slow down"}"#), "Retry-After: 600"));
    let begun = Instant::now();
    let error = client(&patient).execute(&python()).unwrap_err();
    assert_eq!((error.code(), error.retry_after_ms()), (ErrorCode::RateLimited, Some(600_000)));
    assert_eq!((error.message(), error.may_have_run()), ("slow down", false));
    assert_eq!(patient.asked().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn questions_are_asked_again() {
    for fault in [|| Play::Close, || json(500, ""), || json(503, "")] {
        let stub = Stub::sequence(vec![fault, fault, || json(200, r#"{"jobs":[]}"#)]);
        assert!(client(&stub).list_jobs().unwrap().is_empty());
        assert_eq!(stub.asked().len(), 3);
        let off = builder(&stub).retries(0).build().unwrap();
        assert!(off.list_jobs().is_ok());
    }
    let down = Stub::start(|_| json(503, ""));
    assert_eq!(client(&down).list_jobs().unwrap_err().code(), ErrorCode::Server);
    assert_eq!(down.asked().len(), 4, "three retries");
    let off = builder(&down).retries(0).build().unwrap();
    assert_eq!(off.list_jobs().unwrap_err().code(), ErrorCode::Server);
    assert_eq!(down.asked().len(), 5);
}

#[test]
fn nobody_there() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::builder()
        .base_url(format!("http://127.0.0.1:{port}"))
        .api_key("k")
        .build()
        .unwrap();
    let begun = Instant::now();
    let error = client.execute(&python()).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, false));
    assert!(error.message().contains(&port.to_string()), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_reply_over_the_limit_is_not_read() {
    let limit = OK.len();
    let stub = Stub::start(|_| ok());
    let fits = builder(&stub).reply_max_bytes(limit).build().unwrap();
    assert!(fits.execute(&python()).is_ok());
    let small = builder(&stub).reply_max_bytes(limit - 1).build().unwrap();
    let error = small.execute(&python()).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::TooLarge, true));
    assert!(error.message().contains(&(limit - 1).to_string()), "{error}");
}

#[test]
fn redirects_are_not_followed() {
    let other = Stub::start(|_| ok());
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/execute", other.url);
        let stub = Stub::start(move |_| with(json(status, ""), &location));
        let error = client(&stub).execute(&python()).unwrap_err();
        assert_eq!((error.code(), error.http_status()), (ErrorCode::Protocol, status));
        assert_eq!(stub.asked().len(), 1);
        assert!(client(&stub).list_jobs().is_err());
    }
    assert!(other.asked().is_empty(), "the key went nowhere else");
}

#[test]
fn a_job_that_is_not_known_yet_and_one_that_was_lost() {
    let stub = Stub::start(|asked| match (asked.path(), asked.turn) {
        ("/execute", _) => json(200, r#"{"job_id":"j","status":"pending"}"#),
        (_, 1..=3) => json(404, ""),
        _ => json(200, r#"{"job_id":"j","status":"completed","result":{"success":true}}"#),
    });
    assert!(client(&stub).execute(&python()).unwrap().success);

    let never = Stub::start(|asked| match asked.path() {
        "/execute" => json(200, r#"{"job_id":"j","status":"pending"}"#),
        _ => json(404, ""),
    });
    let error = client(&never).execute(&python()).unwrap_err();
    assert_eq!(
        (error.code(), error.job_id(), error.may_have_run()),
        (ErrorCode::JobLost, Some("j"), true)
    );

    let forgot = Stub::start(|asked| match asked.turn {
        0 | 1 => json(200, r#"{"job_id":"j","status":"running"}"#),
        _ => json(404, ""),
    });
    let error = client(&forgot).wait_job("j", None).unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::JobLost, Some("j")));
}

/// Runs `call` on a thread, ends it by `end` once it is under way, and gives its error and how long it
/// took to come back after that.
fn ended(
    stub: &Stub,
    wait_for: &str,
    call: impl FnOnce() -> unsandbox::Error + Send + 'static,
    end: impl FnOnce(),
) -> (unsandbox::Error, Duration) {
    let thread = std::thread::spawn(call);
    stub.wait_for(wait_for);
    let begun = Instant::now();
    end();
    (thread.join().unwrap(), begun.elapsed())
}

#[test]
fn a_token_frees_the_caller_and_closes_the_connection() {
    let half = || Play::Stall(format!("{}{{\"success\":", head("Content-Length: 50\r\n")).into());
    for play in [|| Play::Hang, half] {
        let stub = Stub::start(move |_| play());
        let client = client(&stub);
        let cancel = CancelToken::new();
        let options = CallOptions::new().cancel(cancel.clone());
        let call = move || client.with(options).execute(&python()).unwrap_err();
        let (error, took) = ended(&stub, "POST", call, || cancel.cancel());
        assert_eq!(error.code(), ErrorCode::Cancelled);
        assert!(took < PROMPT, "{took:?}");
        // Our server cancels a run whose connection closes.
        stub.wait_gone();
    }
    let stub = Stub::start(|_| ok());
    let cancel = CancelToken::new();
    cancel.cancel();
    let error =
        client(&stub).with(CallOptions::new().cancel(cancel)).execute(&python()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert!(stub.asked().is_empty());
}

#[test]
fn a_deadline_frees_the_caller() {
    for play in [|| Play::Hang, || Play::Stall(b"HTTP/1.1 200".to_vec())] {
        let stub = Stub::start(move |_| play());
        let begun = Instant::now();
        let options = CallOptions::new().deadline(Duration::from_millis(200));
        let error = client(&stub).with(options).execute(&python()).unwrap_err();
        let took = begun.elapsed();
        assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Timeout, true));
        assert!(error.message().contains("0.2 s"), "{error}");
        assert!(took >= Duration::from_millis(200) && took < PROMPT, "{took:?}");
        stub.wait_gone();
    }
}

#[test]
fn cancelling_a_call_that_waits_for_a_job_cancels_the_job() {
    let stub = Stub::start(|asked| match asked.method.as_str() {
        "POST" => json(200, r#"{"job_id":"j","status":"pending"}"#),
        "DELETE" => json(200, r#"{"message":"Job cancelled","job_id":"j","result":{}}"#),
        _ => json(200, r#"{"job_id":"j","status":"running"}"#),
    });
    let client = client(&stub);
    let cancel = CancelToken::new();
    let options =
        CallOptions { cancel: cancel.clone(), cancel_job: true, ..CallOptions::default() };
    let call = move || client.with(options).execute(&python()).unwrap_err();
    let (error, took) = ended(&stub, "GET /jobs/j", call, || cancel.cancel());
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Cancelled, Some("j")));
    assert!(took < PROMPT, "{took:?}");
    stub.wait_for("DELETE /jobs/j");
    assert_eq!(stub.lines()[0], "POST /execute/async");
}

#[test]
fn waiting_for_a_job_ends_at_its_limit_and_leaves_the_job_alone() {
    let stub = Stub::start(|_| json(200, r#"{"job_id":"j","status":"running"}"#));
    let begun = Instant::now();
    let error = client(&stub).wait_job("j", Some(Duration::from_millis(300))).unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some("j")));
    assert!(begun.elapsed() < Duration::from_millis(400));
    assert!(stub.lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn a_task_is_waited_for_in_slices_and_cancelled() {
    let stub = Stub::start(|_| Play::Hang);
    let (tell, told) = std::sync::mpsc::channel();
    let notify: unsandbox::Notify = Box::new(move || tell.send(()).unwrap());
    let task = client(&stub).start_execute(python(), CallOptions::new(), Some(notify)).unwrap();
    stub.wait_for("POST");
    assert!(task.wait(Some(Duration::from_millis(50))).is_none());
    task.cancel();
    told.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(task.wait(None).unwrap().unwrap_err().code(), ErrorCode::Cancelled);
}

#[test]
fn replies_of_every_framing() {
    for play in [
        || raw(format!("HTTP/1.0 200 OK\r\n\r\n{OK}")),
        || raw(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{OK}")),
        || {
            raw(format!(
                "{}{:x}\r\n{OK}\r\n0\r\n\r\n",
                head("Transfer-Encoding: chunked\r\n"),
                OK.len()
            ))
        },
        || {
            raw(format!(
                "HTTP/1.1 100 Continue\r\n\r\n{}{OK}",
                head(&format!("Content-Length: {}\r\n", OK.len()))
            ))
        },
        || json(201, OK),
        || json(202, OK),
    ] {
        let stub = Stub::start(move |_| play());
        let client = builder(&stub).retries(0).build().unwrap();
        assert_eq!(client.execute(&python()).unwrap().stdout, b"hi\n");
    }
    let many = (0..10_000).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    let stub = Stub::start(move |_| raw(format!("{}{OK}", head(&many))));
    assert_eq!(client(&stub).execute(&python()).unwrap_err().code(), ErrorCode::Protocol);
    let stub = Stub::start(|_| with(ok(), "Content-Encoding: gzip"));
    assert_eq!(client(&stub).execute(&python()).unwrap_err().code(), ErrorCode::Protocol);
}

#[test]
fn gzip_is_read_and_a_bomb_is_not() {
    fn packed(content: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }
    fn gzip(content: &[u8]) -> Play {
        Play::Answer(200, vec!["Content-Encoding: gzip".into()], packed(content))
    }
    let stub = Stub::start(|asked| {
        assert!(asked.header("accept-encoding").is_some_and(|value| value.contains("gzip")));
        gzip(OK.as_bytes())
    });
    assert_eq!(client(&stub).execute(&python()).unwrap().stdout, b"hi\n");
    let bomb = Stub::start(|_| gzip(&vec![b' '; 10_000_000]));
    let small = builder(&bomb).reply_max_bytes(100_000).build().unwrap();
    assert_eq!(small.execute(&python()).unwrap_err().code(), ErrorCode::TooLarge);
}

#[test]
fn cancelling_a_submission_under_way_cancels_its_job() {
    // By the caller's token or by its deadline; waiting for the result or only for the id.
    for (by_token, wait) in [(true, true), (true, false), (false, true), (false, false)] {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let stub = Stub::start(move |asked| match asked.method.as_str() {
            "POST" => {
                gate.lock().unwrap().recv().unwrap();
                json(202, r#"{"job_id":"late","status":"pending"}"#)
            }
            _ => json(200, r#"{"message":"Job cancelled","job_id":"late","result":{}}"#),
        });
        let client = client(&stub);
        let cancel = CancelToken::new();
        let mut options = CallOptions { cancel_job: true, ..CallOptions::default() };
        options = options.cancel(cancel.clone());
        if !by_token {
            options = options.deadline(Duration::from_millis(200));
        }
        let call = move || match wait {
            true => client.with(options).execute(&python()).unwrap_err(),
            false => client.with(options).execute_async(&python()).unwrap_err(),
        };
        let (error, took) = ended(&stub, "POST /execute/async", call, || {
            if by_token {
                cancel.cancel();
            }
        });
        let code = if by_token { ErrorCode::Cancelled } else { ErrorCode::Timeout };
        assert_eq!((error.code(), error.may_have_run()), (code, true), "{error}");
        assert!(took < PROMPT, "{took:?}");
        assert_eq!(stub.asked().len(), 1);
        // Only now the server tells the id.
        go.send(()).unwrap();
        stub.wait_for("DELETE /jobs/late");
    }
}

#[test]
fn a_deserted_submission_is_not_repeated() {
    let stub = Stub::start(|asked| match asked.method.as_str() {
        "POST" => with(json(429, ""), "Retry-After: 5"),
        _ => json(200, "{}"),
    });
    let client = client(&stub);
    let cancel = CancelToken::new();
    let options = CallOptions { cancel_job: true, ..CallOptions::default() }.cancel(cancel.clone());
    let call = move || client.with(options).execute(&python()).unwrap_err();
    let (error, took) = ended(&stub, "POST", call, || cancel.cancel());
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert!(took < PROMPT, "{took:?}");
    assert_eq!(stub.asked().len(), 1);
}

#[test]
fn a_server_that_falls_silent_does_not_hold_a_wait_for_ever() {
    let silent = Stub::start(|_| Play::Hang);
    let client = builder(&silent).timeout(Duration::from_millis(150)).retries(2).build().unwrap();
    let begun = Instant::now();
    let error = client.wait_job("j", None).unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Timeout, Some("j")), "{error:?}");
    assert_eq!(silent.asked().len(), 3, "asked again twice");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    // One connection that went dead is not the end of it.
    let once = Stub::sequence(vec![
        || json(200, r#"{"job_id":"j","status":"running"}"#),
        || Play::Hang,
        || json(200, r#"{"job_id":"j","status":"completed","result":{"success":true}}"#),
    ]);
    let client = builder(&once).timeout(Duration::from_millis(300)).build().unwrap();
    assert!(client.wait_job("j", None).unwrap().success);
    assert_eq!(once.asked().len(), 3);
}

#[test]
fn a_long_poll_keeps_to_the_limit_of_the_first_byte() {
    let stub = Stub::start(|asked| {
        let status = if asked.turn == 0 { "running" } else { "completed" };
        let body = format!(r#"{{"job_id":"j","status":"{status}","result":{{"success":true}}}}"#);
        with(
            json(200, if asked.turn == 0 { r#"{"job_id":"j","status":"running"}"# } else { &body }),
            FEATURES,
        )
    });
    let timeouts =
        unsandbox::Timeouts { first_byte: Some(Duration::from_secs(5)), ..Default::default() };
    let client = builder(&stub).timeouts(timeouts).build().unwrap();
    client.wait_job("j", None).unwrap();
    assert_eq!(stub.lines(), ["GET /jobs/j", "GET /jobs/j?wait=4"]);
}

#[test]
fn what_may_have_run_once_is_not_forgotten_by_a_later_refusal() {
    let refusals: [fn() -> Play; 3] = [
        || json(409, r#"{"error":"conflict"}"#),
        || with(json(429, ""), "Retry-After: 600"),
        || with(json(503, ""), "Retry-After: 600"),
    ];
    for refusal in refusals {
        let posts = AtomicUsize::new(0);
        let stub = Stub::start_whole(move |asked| match asked.method.as_str() {
            "POST" if posts.fetch_add(1, Ordering::SeqCst) == 0 => Play::Close,
            "POST" => with(refusal(), FEATURES),
            _ => with(json(200, "{}"), FEATURES),
        });
        let error = client(&stub).execute(&python()).unwrap_err();
        assert!(error.may_have_run(), "the first one may have run: {error:?}");
        assert_eq!(stub.lines().iter().filter(|line| line.starts_with("POST")).count(), 2);
    }
    // The same where the caller gives up between two attempts.
    let stub = Stub::start_whole(|asked| match asked.method.as_str() {
        "POST" => Play::Close,
        _ => with(json(200, "{}"), FEATURES),
    });
    let cancel = CancelToken::new();
    let options = CallOptions::new().cancel(cancel.clone());
    let client = builder(&stub).retries(50).build().unwrap();
    let call = move || client.with(options).execute(&python()).unwrap_err();
    let (error, took) = ended(&stub, "POST", call, || cancel.cancel());
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Cancelled, true), "{error:?}");
    assert!(took < PROMPT, "{took:?}");
}
