// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests of the wire: what we write, and what a server reads from any client.

use unsandbox_protocol::wire::{self, Incoming};
use unsandbox_protocol::{ErrorCode, InputFile, Limits, Request};

fn read(body: &str) -> Incoming {
    wire::decode_request(body.as_bytes()).unwrap()
}

fn refused(body: &str) -> String {
    let error = wire::decode_request(body.as_bytes()).expect_err(body);
    assert_eq!(error.code(), ErrorCode::Argument);
    error.to_string()
}

#[test]
fn a_plain_request_has_only_what_the_service_knows() {
    assert_eq!(
        wire::encode_execute(&Request::new("python", "print(\"é\")\n")),
        r#"{"language":"python","code":"print(\"é\")\n","network_mode":"zerotrust"}"#
    );
    let request = Request::detect("x")
        .env("A", "1 & 2")
        .ttl(5)
        .network_mode("semitrusted")
        .return_artifact(true);
    assert_eq!(
        wire::encode_run_query(&request),
        "env=%7B%22A%22%3A%221%20%26%202%22%7D&network_mode=semitrusted&ttl=5&return_artifact=true"
    );
}

#[test]
fn what_we_write_a_server_reads() {
    let mut limits = Limits::default();
    for row in unsandbox_protocol::limits::LIMIT_TABLE {
        assert!(limits.set(row.name, row.max));
    }
    let mut request = Request::new("c", "int main(){}\u{0}\u{1f}\u{2028}")
        .env("A", "=\n")
        .env("B", "")
        .ttl(900)
        .network_mode("semitrusted")
        .return_artifact(true)
        .return_wasm_artifact(true)
        .input_file("data.csv", vec![0, 255, 7])
        .stdin("text")
        .arg("")
        .arg("a b")
        .limits(limits);
    request.input_files.push(InputFile { filename: None, content: Vec::new() });
    for stdin in [None, Some(b"text".to_vec()), Some(vec![0xff, 0]), Some(Vec::new())] {
        request.stdin = stdin;
        let back = read(&wire::encode_execute(&request));
        assert_eq!((&back.request, back.wants_async), (&request, false));
        let undetected = Request { language: None, ..request.clone() };
        let body = wire::encode_execute(&undetected);
        let back = wire::decode_run("", Some("application/json; charset=utf-8"), body.as_bytes());
        assert_eq!(back.unwrap().request, undetected);
    }
    let plain = Request::detect("#!/bin/sh\necho").env("A", "ü&=+%").ttl(7).return_artifact(true);
    let query = wire::encode_run_query(&plain);
    let back = wire::decode_run(&query, Some("text/plain"), plain.code.as_bytes()).unwrap();
    assert_eq!(back.request, plain);
}

#[test]
fn other_clients_names() {
    let incoming = read(
        r#"{"language":"py","code":"","network":"semitrust","return_artifacts":true,"async":true,
        "vcpu":4,"future":{"a":[1]},"env":null,"ttl":null,"input_files":[{"content_base64":"aGk"}]}"#,
    );
    let request = incoming.request;
    assert!(incoming.wants_async && request.return_artifact);
    let ignored = |name: &str| format!("\"{name}\" was ignored: no option has this name");
    assert_eq!(incoming.warnings, [ignored("vcpu"), ignored("future")]);
    assert_eq!((request.network_mode.as_str(), request.ttl), ("semitrusted", None));
    assert_eq!(request.input_files, [InputFile { filename: None, content: b"hi".to_vec() }]);
    let run = wire::decode_run(
        "return_artifact=1&env=%7B%7D&x=y&return_wasm_artifact=false",
        None,
        b"code",
    );
    let run = run.unwrap();
    assert!(run.request.return_artifact);
    assert_eq!(run.warnings, [ignored("x")]);
    assert_eq!(
        wire::with_warnings("{\"a\":1}".to_string(), &run.warnings),
        format!("{{\"a\":1,\"warnings\":[\"\\\"x\\\" was ignored: no option has this name\"]}}")
    );
    assert_eq!(wire::with_warnings("{\"a\":1}".to_string(), &[]), "{\"a\":1}");
    let told = wire::decode_run("", Some("application/json"), br#"{"language":"c","code":""}"#);
    let words = told.unwrap_err().to_string();
    assert!(words.contains("(got \"c\")") && words.contains("use /execute"), "{words}");
    let open = br##"{"language":null,"code":"#!/bin/sh"}"##;
    assert!(wire::decode_run("", Some("Application/JSON ; charset=utf-8"), open).is_ok());
    let runtime = read(r#"{"language":"c","code":"","runtime":"/bin/sh"}"#);
    assert_eq!(
        runtime.request.runtime.as_deref(),
        Some("/bin/sh"),
        "it is not passed over: a server has to refuse it"
    );
}

#[test]
fn wrong_types_name_field_and_value() {
    for (body, words) in [
        ("", "language is missing"),
        ("{}", "language is missing"),
        ("[]", "the body must be a JSON object, got an array"),
        ("nope", "the body is not JSON"),
        (r#"{"language":"c"}"#, "code is missing"),
        (r#"{"language":5,"code":""}"#, "language must be a string, got 5"),
        (r#"{"language":"c","code":["x"]}"#, "code must be a string, got an array"),
        (
            r#"{"language":"c","code":"","ttl":"60"}"#,
            "ttl must be an integer number of seconds from 1 to 900, got \"60\"",
        ),
        (r#"{"language":"c","code":"","ttl":1.5}"#, "got 1.5"),
        (r#"{"language":"c","code":"","env":["A"]}"#, "env must be an object, got an array"),
        (
            r#"{"language":"c","code":"","env":{"A":1}}"#,
            "the value of env \"A\" must be a string, got 1",
        ),
        (
            r#"{"language":"c","code":"","network_mode":true}"#,
            "network_mode must be a string, got true",
        ),
        (
            r#"{"language":"c","code":"","return_artifact":"yes"}"#,
            "return_artifact must be true or false, got \"yes\"",
        ),
        (
            r#"{"language":"c","code":"","input_files":{}}"#,
            "input_files must be an array, got an object",
        ),
        (
            r#"{"language":"c","code":"","input_files":["x"]}"#,
            "input_files[0] must be an object, got \"x\"",
        ),
        (r#"{"language":"c","code":"","input_files":[{}]}"#, "input_files[0] content is missing"),
        (
            r#"{"language":"c","code":"","input_files":[{"content":"%%%"}]}"#,
            "input_files[0] content must be base64, got \"%%%\"",
        ),
        (
            r#"{"language":"c","code":"","input_files":[{"content":"","filename":7}]}"#,
            "input_files[0] filename must be a string",
        ),
        (r#"{"language":"c","code":"","args":"x"}"#, "args must be an array"),
        (r#"{"language":"c","code":"","args":["a",1]}"#, "args[1] must be a string, got 1"),
        (r#"{"language":"c","code":"","stdin":1}"#, "stdin must be a string"),
        (r#"{"language":"c","code":"","stdin_base64":"é"}"#, "stdin_base64 must be base64"),
        (
            r#"{"language":"c","code":"","limits":{"memory_bytes":-1}}"#,
            "limits.memory_bytes must be an integer from",
        ),
        (r#"{"language":"c","code":"","limits":{"ram":1}}"#, "limits has no \"ram\""),
        (r#"{"language":"c","code":"","async":1}"#, "async must be true or false"),
    ] {
        let message = refused(body);
        assert!(message.contains(words), "{body}: {message}");
    }
}

#[test]
fn wrong_queries_are_refused() {
    for query in [
        "ttl=0",
        "ttl=1.5",
        "ttl=",
        "env=5",
        "env=%7B",
        "return_artifact=yes",
        "a=%ff",
        "env={\"A\":1}",
    ] {
        let error = wire::decode_run(query, None, b"x").expect_err(query);
        assert_eq!(error.code(), ErrorCode::Argument);
    }
    assert!(wire::decode_run("", None, b"\xff").is_err(), "code is text");
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        for body in [deep.clone(), format!(r#"{{"language":"c","code":"","x":{deep}}}"#)] {
            assert!(refused(&body).contains("recursion limit"));
            assert!(wire::decode_result(body.as_bytes(), 200).is_err());
        }
        let env = wire::percent_encode(&deep);
        assert!(wire::decode_run(&format!("env={env}"), None, b"x").is_err());
    }
}
