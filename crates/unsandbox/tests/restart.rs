// SPDX-License-Identifier: MIT OR Apache-2.0
//! Servers that are replaced, that drain and that share an address, while clients submit and wait: nothing
//! runs twice, and what can be answered is answered. `faults` kills real processes.
#![cfg(unix)]

#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;
mod switch;

use std::thread::JoinHandle;
use std::time::Duration;
use support::{Running, start};
use switch::Switch;
use unsandbox::{
    CallOptions, Client, ClientBuilder, Error, ErrorCode, ExecutionResult, Request, Status,
};
use unsandbox_server::ServerOptions;

fn builder(switch: &Switch) -> ClientBuilder {
    Client::builder().base_url(&switch.url).no_proxy()
}

fn client(switch: &Switch) -> Client {
    builder(switch).build().unwrap()
}

fn server() -> Running {
    start(ServerOptions::default())
}

fn code(code: &str) -> Request {
    Request::new("python", code)
}

type Waiting = JoinHandle<Result<ExecutionResult, Error>>;

/// A call that waits for a run at `server`.
fn waiting(client: &Client, server: &Running) -> Waiting {
    let client = client.clone();
    let options = CallOptions::new().deadline(Duration::from_secs(60));
    let call = std::thread::spawn(move || client.with(options).execute(&code("hold")));
    server.backend.wait_for(&Status::Running, 1);
    call
}

#[test]
fn a_lost_attempt_is_taken_up_again_at_the_same_server() {
    let server = server();
    let switch = Switch::to(&server.address);
    let call = waiting(&client(&switch), &server);
    switch.cut();
    server.backend.wait_for_sinks("job-1", 2);
    server.backend.release();
    assert_eq!(call.join().unwrap().unwrap().status, Status::Completed);
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_lost_attempt_is_not_sent_to_the_server_that_took_its_place() {
    let (old, new) = (server(), server());
    let switch = Switch::to(&old.address);
    let client = client(&switch);
    let call = waiting(&client, &old);
    switch.lead_to(&[&new.address]);
    switch.cut();
    let error = call.join().unwrap().unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, true), "{error}");
    assert!(error.message().contains("has no record of the Idempotency-Key"), "{error}");
    assert!(error.cause().is_some_and(|cause| cause.contains("broke before the reply")), "{error}");
    assert_eq!((old.backend.submissions(), new.backend.submissions()), (1, 0));
    assert_eq!(client.execute(&code("next")).unwrap().stdout, b"next", "the next call is its own");
}

#[test]
fn a_gateway_that_drops_headers_of_ours_leads_to_no_second_run() {
    let (old, new) = (server(), server());
    let switch = Switch::gateway(&old.address);
    let client = client(&switch);
    let call = waiting(&client, &old);
    switch.lead_to(&[&new.address]);
    switch.cut();
    let end = call.join().unwrap();
    assert_eq!((old.backend.submissions(), new.backend.submissions()), (1, 0));
    let error = end.unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), (ErrorCode::Connect, true), "{error}");
}

#[test]
fn a_server_that_was_replaced_between_two_calls_is_no_fault() {
    for retries in [0, 1, 3] {
        let (old, new) = (server(), server());
        let switch = Switch::to(&old.address);
        let client = builder(&switch).retries(retries).build().unwrap();
        assert_eq!(client.execute(&code("first")).unwrap().stdout, b"first");
        switch.lead_to(&[&new.address]);
        switch.cut();
        assert_eq!(client.execute(&code("second")).unwrap().stdout, b"second");
        let job = client.execute_async(&code("third")).unwrap();
        assert_eq!(client.wait_job(&job.job_id, None).unwrap().stdout, b"third");
        assert_eq!((old.backend.submissions(), new.backend.submissions()), (1, 2));
    }
}

#[test]
fn servers_that_take_turns_answer_every_submission_once() {
    let (one, two) = (server(), server());
    let switch = Switch::among(&[&one.address, &two.address]);
    let client = client(&switch);
    for number in 0..5 {
        let text = number.to_string();
        assert_eq!(client.execute(&code(&text)).unwrap().stdout_text(), text);
    }
    assert_eq!(one.backend.submissions() + two.backend.submissions(), 5);
}

#[test]
fn a_retry_that_comes_after_the_run_was_given_up_does_not_start_it_again() {
    let retry_window = Duration::from_millis(1);
    let server = start(ServerOptions { retry_window, ..ServerOptions::default() });
    let switch = Switch::to(&server.address);
    let call = waiting(&builder(&switch).retries(30).build().unwrap(), &server);
    switch.lead_to(&[]);
    switch.cut();
    server.backend.wait_for(&Status::Cancelled, 1);
    switch.lead_to(&[&server.address]);
    let result = call.join().unwrap().unwrap();
    assert_eq!((result.status, &result.stdout[..]), (Status::Cancelled, &b"partial"[..]));
    assert!(result.error.is_some_and(|error| error.contains("its caller's connection closed")));
    assert_eq!(server.backend.submissions(), 1);
}

#[test]
fn a_stopping_server_still_answers_for_what_it_had_taken() {
    let mut server = start(ServerOptions { grace: Duration::from_secs(60), ..Default::default() });
    let switch = Switch::to(&server.address);
    let call = waiting(&client(&switch), &server);
    server.stop.cancel();
    let health = loop {
        let health = client(&switch).health().unwrap();
        if !health.healthy {
            break health;
        }
    };
    assert_eq!(health.status, "stopping");
    let raw = String::from_utf8(health.raw.unwrap().as_bytes().to_vec()).unwrap();
    assert!(raw.contains("takes no new work"), "{raw}");
    switch.cut();
    server.backend.wait_for_sinks("job-1", 2);
    server.backend.release();
    assert_eq!(call.join().unwrap().unwrap().status, Status::Completed);
    assert_eq!(server.backend.submissions(), 1);
    server.join();
}

#[test]
fn a_job_that_was_accepted_is_lost_with_its_server() {
    let (old, new) = (server(), server());
    let switch = Switch::to(&old.address);
    let client = client(&switch);
    let accepted = client.execute_async(&code("hold")).unwrap().job_id;
    let looked_at = client.run_async(&Request::detect("#!/bin/sh\n")).unwrap().job_id;
    client.get_job(&looked_at).unwrap();
    let listed = self::client(&switch);
    assert!(listed.list_jobs().unwrap().iter().any(|job| job.job_id == accepted));
    switch.lead_to(&[&new.address]);
    switch.cut();
    for (client, id) in [(&client, &accepted), (&client, &looked_at), (&listed, &accepted)] {
        let ends = [
            client.get_job(id).unwrap_err(),
            client.wait_job(id, None).unwrap_err(),
            client.cancel_job(id).unwrap_err(),
        ];
        for error in ends {
            let seen = (error.code(), error.job_id(), error.may_have_run(), error.http_status());
            assert_eq!(seen, (ErrorCode::JobLost, Some(id.as_str()), true, 404), "{error}");
        }
    }
    for (client, id) in [(&client, "no-such-job"), (&self::client(&switch), &accepted)] {
        assert_eq!(client.get_job(id).unwrap_err().code(), ErrorCode::NotFound);
        assert_eq!(client.wait_job(id, None).unwrap_err().code(), ErrorCode::NotFound);
        assert_eq!(client.cancel_job(id).unwrap_err().code(), ErrorCode::NotFound);
    }
}

#[test]
fn a_lost_job_is_told_to_a_caller_who_waits_in_short_slices() {
    let (old, new) = (server(), server());
    let switch = Switch::to(&old.address);
    let client = client(&switch);
    let id = client.execute_async(&code("hold")).unwrap().job_id;
    switch.lead_to(&[&new.address]);
    switch.cut();
    let slice = Some(Duration::from_millis(100));
    let mut ends = (0..50).map(|_| client.wait_job(&id, slice).unwrap_err().code());
    assert_eq!(ends.find(|code| *code != ErrorCode::Timeout), Some(ErrorCode::JobLost));
}
