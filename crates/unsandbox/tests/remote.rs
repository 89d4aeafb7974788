// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every operation against a scripted server: what is sent, and what is made of the reply.

mod stub;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use stub::{FEATURES, OK, Play, Stub, builder, client, json, ok, with};
use unsandbox::{
    CallOptions, Client, ErrorCode, JobPage, Page, Request, SERVICE_URL, Status, Stream,
};

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

#[test]
fn execute_sends_json_with_the_key_and_reads_the_result() {
    let stub = Stub::start(|_| ok());
    let client = client(&stub);
    assert!(client.endpoint_is_explicit() && !client.is_local());
    assert_eq!(client.endpoint(), stub.url);
    let result = client.execute(&Request::new("py", "print(\"hi\")").ttl(5)).unwrap();
    assert_eq!(
        (result.success, &result.stdout[..], result.exit_code),
        (true, &b"hi\n"[..], Some(0))
    );
    assert_eq!(result.raw.as_deref(), Some(OK));
    let asked = &stub.asked()[0];
    assert_eq!(asked.line(), "POST /execute");
    assert_eq!(asked.header("authorization"), Some("Bearer test-key"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("x-signature"), None);
    assert_eq!(asked.header("idempotency-key").unwrap().len(), 32);
    let version = concat!("unsandbox-rust/", env!("CARGO_PKG_VERSION"));
    assert_eq!(asked.header("user-agent"), Some(version));
    assert_eq!(
        text(&asked.body),
        r#"{"language":"python","code":"print(\"hi\")","network_mode":"zerotrust","ttl":5}"#
    );
}

#[test]
fn connections_are_kept_and_shared() {
    let stub = Stub::start(|_| ok());
    let client = client(&stub);
    for _ in 0..5 {
        client.clone().execute(&Request::new("python", "")).unwrap();
    }
    assert!(stub.asked().iter().all(|asked| asked.connection == 0), "one connection for all");
    let keys: std::collections::HashSet<_> =
        stub.asked().iter().map(|a| a.header("idempotency-key").unwrap().to_string()).collect();
    assert_eq!(keys.len(), 5, "each submission has its own key");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.execute(&Request::new("python", "")).unwrap());
        }
    });
    assert_eq!(stub.asked().len(), 13);
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_unseen() {
    // Every reply closes its connection although it did not say so.
    let stub = Stub::start(|_| {
        Play::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{OK}", OK.len()).into())
    });
    let client = builder(&stub).retries(0).build().unwrap();
    for _ in 0..5 {
        client.execute(&Request::new("python", "")).unwrap();
        stub.wait_gone();
    }
    assert_eq!(stub.asked().len(), 5);
}

#[test]
fn a_pair_signs_and_never_sends_its_secret() {
    let stub = Stub::start(|_| ok());
    let client = Client::builder()
        .base_url(format!("{}/base", stub.url))
        .key_pair("unsb-pk-1", "unsb-sk-1")
        .build()
        .unwrap();
    client.run(&Request::detect("#!/usr/bin/env python3\nprint(1)\n")).unwrap();
    let asked = &stub.asked()[0];
    assert_eq!(asked.line(), "POST /base/run?network_mode=zerotrust");
    assert_eq!(asked.header("authorization"), Some("Bearer unsb-pk-1"));
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    let secret = unsandbox::Secret::new("unsb-sk-1");
    let time: i64 = asked.header("x-timestamp").unwrap().parse().unwrap();
    let expected = unsandbox::protocol::auth::sign(&secret, time, "POST", "/base/run", &asked.body);
    assert_eq!(asked.header("x-signature"), Some(expected.as_str()));
    assert!(!format!("{asked:?}{client:?}").contains("unsb-sk-1"));
}

#[test]
fn a_wrong_clock_is_corrected_once() {
    let stub = Stub::start(|asked| {
        let time: i64 = asked.header("x-timestamp").unwrap().parse().unwrap();
        // This server lives in 2100.
        if time < 4_102_444_800 - 300 {
            let body = r#"{"error":"invalid_timestamp","message":"Request timestamp expired"}"#;
            return with(json(401, body), "Date: Fri, 01 Jan 2100 00:00:00 GMT");
        }
        ok()
    });
    let client = Client::builder().base_url(&stub.url).key_pair("pk", "sk").build().unwrap();
    client.execute(&Request::new("python", "")).unwrap();
    client.execute(&Request::new("python", "")).unwrap();
    assert_eq!(stub.asked().len(), 3, "the second call knows the clock");

    let stubborn = Stub::start(|_| {
        let body = r#"{"error":"invalid_timestamp","message":"Request timestamp expired"}"#;
        with(json(401, body), "Date: Fri, 01 Jan 2100 00:00:00 GMT")
    });
    let client = Client::builder().base_url(&stubborn.url).key_pair("pk", "sk").build().unwrap();
    let error = client.execute(&Request::new("python", "")).unwrap_err();
    assert_eq!((error.code(), error.wire()), (ErrorCode::Auth, "invalid_timestamp"));
    assert_eq!(stubborn.asked().len(), 2);
}

#[test]
fn run_takes_the_route_that_can_carry_it() {
    // The service: no word about features.
    let service = Stub::start(|_| ok());
    let client_of = |stub: &Stub| client(stub);
    let code = "#!/usr/bin/env python3\nprint(1)\n";
    client_of(&service).run(&Request::detect(code)).unwrap();
    assert_eq!(text(&service.asked()[0].body), code);
    // What is given but not wanted by `run` is ignored.
    client_of(&service).run(&Request::new("cobol", code)).unwrap();
    assert_eq!(service.asked()[1].path(), "/run");

    let ours = Stub::start_whole(|_| with(ok(), FEATURES));
    client_of(&ours).run(&Request::detect(code).arg("a").stdin("in")).unwrap();
    let asked = ours.asked();
    assert_eq!(asked[0].line(), "GET /health");
    assert_eq!(asked[1].line(), "POST /run");
    assert_eq!(asked[1].header("content-type"), Some("application/json"));
    assert!(text(&asked[1].body).contains(r#""stdin":"in","args":["a"]"#));
    assert!(!text(&asked[1].body).contains("language"));
}

#[test]
fn a_streamed_stdin_is_read_to_its_end() {
    let stub = Stub::start(|_| ok());
    let options = CallOptions::new().stdin(&b"\xff\x00"[..]);
    client(&stub).with(options).execute(&Request::new("python", "")).unwrap();
    assert!(text(&stub.asked()[0].body).contains(r#""stdin_base64":"/wA=""#));
}

#[test]
fn output_comes_to_the_callback_too() {
    let stub = Stub::start(|_| json(200, r#"{"success":true,"stdout":"out","stderr":"err"}"#));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let options = CallOptions::new()
        .on_output(move |stream, bytes| sink.lock().unwrap().push((stream, bytes.to_vec())));
    client(&stub).with(options).execute(&Request::new("python", "")).unwrap();
    let expected = [(Stream::Stdout, b"out".to_vec()), (Stream::Stderr, b"err".to_vec())];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn execute_waits_for_a_job_that_is_under_way() {
    let stub = Stub::start(|asked| match (asked.line().as_str(), asked.turn) {
        ("POST /execute", _) => json(200, r#"{"job_id":"j/1","status":"pending"}"#),
        ("GET /jobs/j%2F1", 0..=2) => json(200, r#"{"job_id":"j/1","status":"running"}"#),
        _ => json(
            200,
            r#"{"job_id":"j/1","status":"completed","result":{"success":true,"stdout":"x"}}"#,
        ),
    });
    let result = client(&stub).execute(&Request::new("python", "")).unwrap();
    assert_eq!((result.stdout, result.job_id.as_deref()), (b"x".to_vec(), Some("j/1")));
}

#[test]
fn long_runs_go_as_jobs_and_long_polls_are_used_where_offered() {
    let stub = Stub::start(|asked| {
        let play = match asked.path() {
            "/execute/async" => json(200, r#"{"job_id":"j","status":"pending"}"#),
            _ if asked.target.contains("wait=") => {
                json(200, r#"{"job_id":"j","status":"timeout","result":{"stdout":"part"}}"#)
            }
            _ => json(200, r#"{"job_id":"j","status":"running"}"#),
        };
        with(play, FEATURES)
    });
    let result = client(&stub).execute(&Request::new("python", "").ttl(900)).unwrap();
    assert_eq!(
        (result.status, &result.stdout[..], result.success),
        (Status::Timeout, &b"part"[..], false)
    );
    assert_eq!(stub.lines(), ["POST /execute/async", "GET /jobs/j?wait=30"]);
    let client = builder(&stub).job_threshold(Duration::from_secs(3)).build().unwrap();
    client.execute(&Request::new("python", "").ttl(4)).unwrap();
    assert_eq!(stub.lines()[2], "POST /execute/async");
}

#[test]
fn jobs_by_every_call() {
    let stub = Stub::start(|asked| match asked.line().as_str() {
        "POST /execute/async" | "POST /run/async?network_mode=zerotrust" => {
            json(202, r#"{"job_id":"j1","status":"pending"}"#)
        }
        "GET /jobs/j1" => json(
            200,
            r#"{"job_id":"j1","status":"completed","created_at":1,"result":{"success":true,"stdout":"x"}}"#,
        ),
        "GET /jobs" => json(200, r#"{"jobs":[{"job_id":"j1","status":"running"}],"count":1}"#),
        "DELETE /jobs/j1" => json(
            200,
            r#"{"message":"Job cancelled","job_id":"j1","result":{"success":false,"stdout":"part","exit_code":-1}}"#,
        ),
        "DELETE /jobs/j2" => Play::Answer(204, vec![], vec![]),
        _ => json(404, r#"{"error":"not_found","message":"no such job"}"#),
    });
    let client = client(&stub);
    let job = client.execute_async(&Request::new("python", "1")).unwrap();
    assert_eq!((job.job_id.as_str(), job.status), ("j1", Status::Pending));
    assert_eq!(client.run_async(&Request::detect("#!/bin/sh\n")).unwrap().job_id, "j1");
    let job = client.get_job("j1").unwrap();
    assert_eq!((job.created_at, job.into_result().unwrap().stdout), (Some(1), b"x".to_vec()));
    assert_eq!(client.wait_job("j1", None).unwrap().stdout, b"x");
    assert_eq!(client.list_jobs().unwrap().len(), 1);
    let cancelled = client.cancel_job("j1").unwrap();
    assert_eq!((cancelled.status, &cancelled.stdout[..]), (Status::Cancelled, &b"part"[..]));
    assert_eq!(client.cancel_job("j2").unwrap().exit_code, Some(-1));
    for error in [
        client.get_job("no").unwrap_err(),
        client.cancel_job("no").unwrap_err(),
        client.wait_job("no", None).unwrap_err(),
    ] {
        assert_eq!(
            (error.code(), error.message(), error.http_status()),
            (ErrorCode::NotFound, "no such job", 404)
        );
    }
    assert_eq!(client.get_job("").unwrap_err().code(), ErrorCode::Argument);
}

#[test]
fn pages_are_the_servers_where_it_gives_them_and_cut_here_elsewhere() {
    let page = |limit, after: &str| Page { limit, after: Some(after.to_string()) };
    let ids = |listed: JobPage| -> (Vec<String>, bool) {
        (listed.jobs.into_iter().map(|job| job.job_id).collect(), listed.has_more)
    };
    let ours = Stub::start(|asked| match asked.target.as_str() {
        "/jobs?limit=2&after=a%2F1" => {
            json(200, r#"{"jobs":[{"job_id":"b"},{"job_id":"c"}],"count":2,"has_more":true}"#)
        }
        "/jobs?after=gone" => json(400, r#"{"error":"invalid_request","message":"after is gone"}"#),
        _ => not_found(),
    });
    let client_of = |stub: &Stub| client(stub);
    let listed = client_of(&ours).list_jobs_page(&page(Some(2), "a/1")).unwrap();
    assert_eq!(ids(listed), (vec!["b".into(), "c".into()], true));
    let error = client_of(&ours).list_jobs_page(&page(None, "gone")).unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::Argument, "after is gone"));
    let whole =
        Stub::start(|_| json(200, r#"{"jobs":[{"job_id":"a"},{"job_id":"b"},{"job_id":"c"}]}"#));
    let other = client_of(&whole);
    assert_eq!(ids(other.list_jobs_page(&page(Some(1), "a")).unwrap()), (vec!["b".into()], true));
    assert!(!ids(other.list_jobs_page(&page(Some(2), "a")).unwrap()).1);
    assert_eq!(other.list_jobs().unwrap().len(), 3);
    let error = other.list_jobs_page(&page(Some(1), "z")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    let asked = whole.asked().len();
    for wrong in [page(Some(0), "a"), page(Some(1_001), "a"), page(None, "")] {
        assert_eq!(other.list_jobs_page(&wrong).unwrap_err().code(), ErrorCode::Argument);
    }
    assert_eq!(whole.asked().len(), asked, "nothing is sent for them");
}

const DELETES: &str = "x-unsandbox-features: delete";

fn not_found() -> Play {
    json(404, r#"{"error":"not_found","message":"no such job"}"#)
}

#[test]
fn a_job_is_deleted_where_the_server_announces_it() {
    let stub = Stub::start(|asked| {
        let play = match (asked.line().as_str(), asked.turn) {
            ("GET /jobs/j%2F1", 0) => json(200, r#"{"job_id":"j/1","status":"running"}"#),
            ("DELETE /jobs/j%2F1/record", 1) => json(
                409,
                r#"{"error":"conflict","message":"job j/1 is running; cancel it first","job_id":"j/1"}"#,
            ),
            ("DELETE /jobs/j%2F1/record", 2) => json(200, r#"{"job_id":"j/1","deleted":true}"#),
            _ => not_found(),
        };
        with(play, DELETES)
    });
    let client = client(&stub);
    client.get_job("j/1").unwrap();
    let error = client.delete_job("j/1").unwrap_err();
    assert_eq!((error.code(), error.job_id()), (ErrorCode::Conflict, Some("j/1")));
    client.delete_job("j/1").unwrap();
    // Deleted is not lost, although the server had told of it.
    for error in [client.get_job("j/1").unwrap_err(), client.delete_job("j/1").unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::NotFound);
    }
    assert_eq!(client.delete_job("").unwrap_err().code(), ErrorCode::Argument);
}

#[test]
fn a_deletion_whose_reply_was_lost_has_succeeded() {
    let deletions = std::sync::atomic::AtomicUsize::new(0);
    let stub = Stub::start_whole(move |asked| {
        if asked.method == "GET" {
            return with(json(200, r#"{"status":"ok"}"#), DELETES);
        }
        match deletions.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Play::Raw(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
            _ => with(not_found(), DELETES),
        }
    });
    let client = client(&stub);
    client.delete_job("j").unwrap();
    assert_eq!(client.delete_job("j").unwrap_err().code(), ErrorCode::NotFound);
    let lines = stub.lines();
    assert_eq!(lines[..3], ["GET /health", "DELETE /jobs/j/record", "DELETE /jobs/j/record"]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_server_that_does_not_announce_it_gets_no_deletion() {
    let stub = Stub::start_whole(|asked| match asked.turn {
        0 => json(200, r#"{"status":"ok"}"#),
        // It was replaced by a newer one.
        _ => with(json(200, r#"{"status":"ok"}"#), DELETES),
    });
    let client = client(&stub);
    let error = client.delete_job("j").unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    assert!(error.message().contains("does not announce that it deletes jobs"), "{error}");
    assert_eq!(stub.lines(), ["GET /health"]);
    client.delete_job("j").unwrap();
    assert_eq!(stub.lines()[1..], ["GET /health", "DELETE /jobs/j/record"]);
}

#[test]
fn what_an_endpoint_says_of_itself() {
    let stub = Stub::start(|asked| match asked.path() {
        "/languages" => {
            json(200, r#"{"languages":["c","python"],"aliases":{"py":"python"},"count":2}"#)
        }
        "/keys/validate" => json(401, r#"{"valid":false,"reason":"expired"}"#),
        _ => json(200, r#"{"status":"ok"}"#),
    });
    let client = client(&stub);
    assert_eq!(client.languages().unwrap()[1].aliases, ["py"]);
    let info = client.validate_key().unwrap();
    assert_eq!((info.valid, info.reason.as_deref()), (false, Some("expired")));
    assert!(client.health().unwrap().healthy);
    assert_eq!(client.probe().unwrap_err().code(), ErrorCode::Argument);
    client.close();
    assert!(client.is_closed());
    assert_eq!(client.health().unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(
        client.clone().execute(&Request::new("c", "")).unwrap_err().code(),
        ErrorCode::Conflict
    );
}

#[test]
fn what_a_key_uses_is_told_by_a_server_that_has_it() {
    const USAGE: &str = r#"{"key":"1a2b","running":1,"since":7,"runs":{"completed":2},"limits":{"queue":3,"max_limits":{"cpus":4,"new":5}}}"#;
    let stub = Stub::start(|asked| match asked.turn {
        0 => json(200, USAGE),
        1 => json(200, r#"{"running":1}"#),
        2 => json(401, r#"{"error":"invalid_api_key","message":"who are you"}"#),
        3 => json(405, "{}"),
        _ => not_found(),
    });
    let client = client(&stub);
    let usage = client.usage().unwrap();
    assert_eq!((usage.key.as_deref(), usage.running, usage.waiting), (Some("1a2b"), 1, 0));
    assert_eq!((usage.requests_remaining, usage.runs["completed"]), (None, 2));
    assert_eq!((usage.limits.queue, usage.limits.max_limits.cpus), (3, Some(4)));
    assert_eq!((usage.limits.languages, usage.raw.as_deref()), (None, Some(USAGE)));
    assert_eq!(client.usage().unwrap_err().code(), ErrorCode::Protocol);
    assert_eq!(client.usage().unwrap_err().code(), ErrorCode::Auth);
    for _ in ["405", "404"] {
        let error = client.usage().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument);
        assert!(error.message().contains("does not tell what a key uses"), "{error}");
    }
    assert!(stub.lines().iter().all(|line| line == "GET /usage"));
    // The service is not asked: there is nothing behind this proxy.
    let service = Client::builder().base_url(SERVICE_URL).api_key("k").proxy("http://127.0.0.1:1");
    let error = service.build().unwrap().usage().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument, "{error}");
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let stub = Stub::start(|_| ok());
    let client = client(&stub);
    for request in [
        Request::new("pyhton", ""),
        Request::new("python", "").ttl(0),
        Request::new("python", "").network_mode("open"),
        Request::new("python", "").input_file("../x", ""),
        Request::new("python", "").env("A=B", ""),
        Request::new("python", "").runtime("/usr/bin/python3"),
        Request::detect("print(1)"),
    ] {
        assert_eq!(client.execute(&request).unwrap_err().code(), ErrorCode::Argument);
        assert_eq!(client.execute_async(&request).unwrap_err().code(), ErrorCode::Argument);
        let start = client.start_execute(request, CallOptions::new(), None);
        assert_eq!(start.unwrap_err().code(), ErrorCode::Argument);
    }
    assert_eq!(client.run(&Request::detect("").ttl(901)).unwrap_err().code(), ErrorCode::Argument);
    assert!(stub.asked().is_empty());
}

#[test]
fn refusals_by_their_codes() {
    for (status, body, code) in [
        (400, r#"{"error":"invalid_request","message":"m"}"#, ErrorCode::Argument),
        (401, r#"{"error":"invalid_api_key","message":"m"}"#, ErrorCode::Auth),
        (403, r#"{"error":"forbidden","message":"m"}"#, ErrorCode::Permission),
        (409, r#"{"error":"conflict","message":"m"}"#, ErrorCode::Conflict),
        (413, r#"{"error":"too_large","message":"m"}"#, ErrorCode::Argument),
        (422, r#"{"error":"language_unavailable","message":"m"}"#, ErrorCode::LanguageUnavailable),
        (428, r#"{"message":"m"}"#, ErrorCode::Api),
        (429, r#"{"error":"rate_limit_exceeded","message":"m"}"#, ErrorCode::RateLimited),
        (500, r#"{"error":"internal","message":"m"}"#, ErrorCode::Server),
        (
            501,
            r#"{"error":"isolation_unavailable","message":"m"}"#,
            ErrorCode::IsolationUnavailable,
        ),
    ] {
        let stub = Stub::start(move |_| json(status, body));
        let client = builder(&stub).retries(0).build().unwrap();
        let error = client.execute(&Request::new("python", "")).unwrap_err();
        assert_eq!((error.code(), error.message(), error.http_status()), (code, "m", status));
        assert_eq!(error.body(), Some(body));
        assert_eq!(error.may_have_run(), status == 500);
    }
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_an_endpoint_too() {
    let path = std::env::temp_dir().join(format!("unsandbox-stub-{}.sock", std::process::id()));
    let stub = Stub::start_unix(&path, |_| ok());
    let client = client(&stub);
    assert_eq!(client.execute(&Request::new("python", "")).unwrap().stdout, b"hi\n");
    assert_eq!(client.execute(&Request::new("python", "")).unwrap().stdout, b"hi\n");
    let asked = stub.asked();
    assert_eq!((asked[1].connection, asked[1].header("host")), (0, Some("localhost")));
    std::fs::remove_file(&path).unwrap();
    let lost = builder(&stub).retries(0).build().unwrap();
    let error = lost.execute(&Request::new("python", "")).unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, false));
}
