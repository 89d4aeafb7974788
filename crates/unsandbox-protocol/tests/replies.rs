// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies of the wire: the examples of both specification documents, other servers' shapes, our own.

use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::limits::{ARTIFACTS_MAX_BYTES, OUTPUT_DEFAULT_BYTES, REPLY_MAX_BYTES};
use unsandbox_protocol::wire::{self, Shape, Submitted};
use unsandbox_protocol::{
    Artifact, Error, ErrorCode, ExecutionResult, Isolation, Job, LimitKind, Status, Usage,
};

fn result(body: &str) -> ExecutionResult {
    wire::decode_result(body.as_bytes(), 200).unwrap()
}

fn job(body: &str) -> Job {
    wire::decode_job(body.as_bytes(), 200).unwrap()
}

/// What both documents' examples have in common.
fn core(result: &ExecutionResult) -> (bool, &Status, &[u8], &[u8], Option<i32>) {
    (result.success, &result.status, &result.stdout, &result.stderr, result.exit_code)
}

#[test]
fn both_documents_say_the_same_of_a_success() {
    let a = result(
        r#"{"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "exit_code": 0,
        "language": "python", "job_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "artifacts": [],
        "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 523}"#,
    );
    let b = result(
        r#"{"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "error": null,
        "language": "python", "exit_code": 0}"#,
    );
    assert_eq!(core(&a), core(&b));
    assert_eq!(
        core(&a),
        (true, &Status::Completed, &b"Hello from unsandbox!\n"[..], &b""[..], Some(0))
    );
    assert_eq!((&a.language, &a.error), (&b.language, &b.error));
    assert_eq!(a.job_id.as_deref(), Some("a1b2c3d4-e5f6-7890-abcd-ef1234567890"));
    assert_eq!(
        (a.execution_mode.as_deref(), a.network_mode.as_deref()),
        (Some("pooled"), Some("zerotrust"))
    );
    assert_eq!((a.total_time_ms, b.total_time_ms), (Some(523), None));
    assert!(a.raw.unwrap().contains("\"total_time_ms\": 523"));
}

#[test]
fn both_documents_say_the_same_of_a_failure() {
    let a = result(
        r#"{"success": false, "stdout": "", "stderr": "SyntaxError: invalid syntax\n", "exit_code": 1,
        "language": "python", "job_id": "b2c3d4e5-f6a7-8901-bcde-f23456789012", "artifacts": [],
        "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 312}"#,
    );
    let b = result(
        r#"{"success": false, "error": "Syntax error in code", "stderr": "SyntaxError: invalid syntax\n"}"#,
    );
    for one in [&a, &b] {
        assert!(!one.success);
        assert_eq!(one.status, Status::Completed);
        assert_eq!(
            (&one.stdout[..], &one.stderr[..]),
            (&b""[..], &b"SyntaxError: invalid syntax\n"[..])
        );
    }
    assert_eq!((a.exit_code, b.exit_code), (Some(1), None), "an exit code is never made up");
    assert_eq!(b.error.as_deref(), Some("Syntax error in code"));
}

#[test]
fn both_documents_say_the_same_of_a_job() {
    let a = job(r#"{"job_id": "c3d4e5f6-a7b8-9012-cdef-345678901234", "status": "completed",
        "created_at": 1699564800, "started_at": 1699564801, "completed_at": 1699564805,
        "result": {"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "exit_code": 0,
        "language": "python", "artifacts": [], "execution_mode": "pooled",
        "network_mode": "zerotrust", "total_time_ms": 4021}}"#);
    let b = job(r#"{"job_id": "job_1234567890_abc", "status": "completed",
        "result": {"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "error": null,
        "language": "python", "exit_code": 0}}"#);
    let flat = job(
        r#"{"id": "job_1", "status": "SUCCESS", "success": true, "stdout": "Hello from unsandbox!\n",
        "stderr": "", "exit_code": 0, "language": "python", "created_at": "2023-11-09T21:20:00Z",
        "execution_time": 17}"#,
    );
    for one in [&a, &b, &flat] {
        let result = one.result.as_ref().unwrap();
        assert_eq!(one.status, Status::Completed);
        assert_eq!(core(result), core(a.result.as_ref().unwrap()));
        assert_eq!(result.job_id.as_deref(), Some(one.job_id.as_str()));
        assert_eq!(one.language.as_deref(), Some("python"));
    }
    assert_eq!(
        (a.created_at, a.started_at, a.completed_at),
        (Some(1_699_564_800), Some(1_699_564_801), Some(1_699_564_805))
    );
    assert_eq!(flat.created_at, Some(1_699_564_800));
    assert_eq!(flat.result.unwrap().total_time_ms, Some(17));
}

#[test]
fn both_documents_say_the_same_of_run() {
    let a = result(
        r#"{"success": true, "stdout": "Language auto-detected!\n", "stderr": "", "exit_code": 0,
        "language": "python", "detected_language": "python",
        "job_id": "f6a7b8c9-d0e1-2345-fghi-678901234567", "artifacts": [], "execution_mode": "pooled",
        "network_mode": "zerotrust", "total_time_ms": 412}"#,
    );
    let b = result(
        r#"{"success": true, "stdout": "Language auto-detected!\n", "stderr": "", "error": null,
        "detected_language": "python", "exit_code": 0}"#,
    );
    assert_eq!(core(&a), core(&b));
    assert_eq!(a.detected_language, b.detected_language);
    assert_eq!((a.language.as_deref(), b.language), (Some("python"), None));
    let a = job(r#"{"job_id": "a7b8c9d0-e1f2-3456-ghij-789012345678", "status": "completed",
        "created_at": 1699564800, "started_at": 1699564801, "completed_at": 1699564802,
        "result": {"success": true, "stdout": "Running async with auto-detect!\n", "stderr": "",
        "exit_code": 0, "language": "ruby", "detected_language": "ruby", "artifacts": [],
        "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 1234}}"#);
    let b = job(r#"{"job_id": "job_1234567890_abc", "status": "completed",
        "result": {"success": true, "stdout": "Running async with auto-detect!\n", "stderr": "",
        "error": null, "detected_language": "ruby", "exit_code": 0}}"#);
    assert_eq!(a.detected_language, b.detected_language);
    assert_eq!(core(a.result.as_ref().unwrap()), core(b.result.as_ref().unwrap()));
}

#[test]
fn both_documents_say_the_same_of_a_cancel() {
    let cancel = |body: &str| wire::decode_cancelled(body.as_bytes(), 200, "asked").unwrap();
    let a = cancel(
        r#"{"message": "Job cancelled", "job_id": "e5f6a7b8-c9d0-1234-efgh-567890123456",
        "result": {"success": false, "stdout": "Partial output before cancel...", "stderr": "",
        "exit_code": -1, "language": "python", "artifacts": [], "execution_mode": "pooled",
        "network_mode": "zerotrust", "total_time_ms": 1523}}"#,
    );
    let b = cancel(
        r#"{"message": "Job cancelled", "job_id": "job_1234567890_abc",
        "result": {"success": false, "stdout": "Partial output before cancel...", "stderr": "",
        "error": "Job cancelled by user", "exit_code": -1}}"#,
    );
    let flat = cancel(
        r#"{"job_id": "j", "status": "canceled", "success": false, "message": "ok",
        "stdout": "Partial output before cancel...", "exit_code": -1}"#,
    );
    for one in [&a, &b, &flat] {
        assert_eq!(one.status, Status::Cancelled);
        let expected = (
            false,
            &Status::Cancelled,
            &b"Partial output before cancel..."[..],
            &b""[..],
            Some(-1),
        );
        assert_eq!(core(one.result.as_ref().unwrap()), expected);
    }
    let empty = wire::decode_cancelled(b"", 204, "asked").unwrap();
    assert_eq!((empty.job_id.as_str(), &empty.status), ("asked", &Status::Cancelled));
    let result = empty.result.unwrap();
    assert_eq!((result.success, result.exit_code), (false, Some(-1)));
    let finished =
        cancel(r#"{"job_id":"j","status":"completed","result":{"success":true,"exit_code":0}}"#);
    assert_eq!(finished.status, Status::Completed);
    assert!(finished.result.unwrap().success);
}

#[test]
fn submissions_and_lists() {
    let submitted =
        wire::decode_submission(br#"{"job_id": "job_1234567890_abc", "status": "pending"}"#, 200);
    let submitted = submitted.unwrap();
    assert_eq!(
        (submitted.job_id.as_str(), submitted.status),
        ("job_1234567890_abc", Status::Pending)
    );
    let list = wire::decode_jobs(
        br#"{"jobs": [
        {"job_id": "job_1234567890_abc", "status": "running", "language": "python", "submitted_at": "2024-01-15T10:30:00Z"},
        {"job_id": "job_0987654321_xyz", "status": "pending", "language": "go", "submitted_at": "2024-01-15T10:29:45Z"}]}"#,
        200,
    )
    .unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].created_at, Some(1_705_314_600));
    assert_eq!((list[1].status.as_str(), list[1].language.as_deref()), ("pending", Some("go")));
    let bare = br#"[{"job_id": "j", "status": "queued", "created_at": 5}, null, 7, {}]"#;
    let bare = wire::decode_jobs(bare, 200).unwrap();
    assert_eq!((bare.len(), &bare[0].status, bare[0].created_at), (1, &Status::Pending, Some(5)));
    assert_eq!(wire::decode_jobs(br#"{"no":1}"#, 200).unwrap_err().code(), ErrorCode::Protocol);
}

#[test]
fn execute_may_answer_with_a_job_that_is_under_way() {
    let read = |body: &str| wire::decode_submission_or_result(body.as_bytes(), 200).unwrap();
    assert!(
        matches!(read(r#"{"job_id":"j","status":"pending"}"#), Submitted::Job(job) if job.job_id == "j")
    );
    assert!(matches!(read(r#"{"job_id":"j","status":"running"}"#), Submitted::Job(_)));
    assert!(matches!(read(r#"{"job_id":"j"}"#), Submitted::Job(_)));
    for body in [
        r#"{"job_id":"j","success":true,"stdout":"x"}"#,
        r#"{"success":true,"stdout":"x"}"#,
        r#"{"job_id":"j","status":"completed","stdout":"x","exit_code":0}"#,
    ] {
        assert!(
            matches!(read(body), Submitted::Result(r) if r.success && r.stdout == b"x"),
            "{body}"
        );
    }
    let error = wire::decode_submission_or_result(b"<html>", 200).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Protocol);
    let error = wire::decode_submission_or_result(b"{}", 200).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Protocol);
}

#[test]
fn success_is_never_made_of_silence() {
    for (body, success) in [
        (r#"{"status":"completed","stdout":"x"}"#, true),
        (r#"{"status":"timeout","stdout":"x"}"#, false),
        (r#"{"status":"failed","stdout":"x"}"#, false),
        (r#"{"exit_code":0}"#, true),
        (r#"{"exit_code":3}"#, false),
        (r#"{"exit_code":"3"}"#, false),
        (r#"{"stdout":"","error":"boom"}"#, false),
        (r#"{"stdout":"","error":""}"#, true),
        (r#"{"success":false,"exit_code":0}"#, false),
        (r#"{"success":"true","exit_code":1}"#, true),
    ] {
        assert_eq!(result(body).success, success, "{body}");
    }
    assert_eq!(
        result(r#"{"success":false,"error":{"code":"c","message":"m"}}"#).error.as_deref(),
        Some("m")
    );
    assert_eq!(result(r#"{"success":false,"error":{"code":"c"}}"#).error.as_deref(), Some("c"));
    let nested = result(
        r#"{"stdout":"root","stderr":"gap","result":{"stdout":"nested","stderr":null,"success":true}}"#,
    );
    assert_eq!((nested.stdout_text(), nested.stderr_text()), ("nested".into(), "gap".into()));
    for body in ["", "{}", "[]", "null", "7", "\"x\"", "<html>", "{\"success\":", r#"{"ok":1}"#] {
        let error = wire::decode_result(body.as_bytes(), 200).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Protocol, "{body}");
        assert_eq!(error.body(), Some(body));
    }
}

#[test]
fn a_word_that_is_not_known_is_an_end_only_if_the_reply_shows_one() {
    let waiting = job(r#"{"job_id":"j","status":"Provisioning"}"#);
    assert_eq!((waiting.status.as_str(), waiting.result), ("Provisioning", None));
    let ended = job(r#"{"job_id":"j","status":"archived","result":{"success":true}}"#);
    assert!(ended.result.unwrap().success);
    assert!(job(r#"{"job_id":"j","status":"archived","completed_at":7}"#).result.is_some());
    assert!(job(r#"{"job_id":"j","status":"timed_out"}"#).result.is_some_and(|r| !r.success));
    assert!(wire::decode_job(br#"{"status":"completed"}"#, 200).is_err(), "a job has an id");
}

#[test]
fn artifacts_in_all_spellings() {
    let body = r#"{"success":true,"artifacts":[
        {"filename":"a.out","content_base64":"aGk="},
        {"type":"base64","filename":"b.wasm","data":"aGk"},
        {"name":"c","content":"aG\nk="},
        {"name":"d","url":"https://x/d","size":5},
        {"content_base64":"aGk="},
        "aGk=", "https://x/e",
        {"filename":"bad","content_base64":"%%%"}, null, 5]}"#;
    let artifacts = result(body).artifacts;
    let names: Vec<&str> = artifacts.iter().map(|a| a.filename.as_str()).collect();
    assert_eq!(names, ["a.out", "b.wasm", "c", "d", "4", "5", "6"]);
    assert_eq!(artifacts[1].kind, "wasm");
    for index in [0, 1, 2, 4, 5] {
        assert_eq!(artifacts[index].content, b"hi");
    }
    assert_eq!(artifacts[3].url.as_deref(), Some("https://x/d"));
    let single = result(
        r#"{"success":true,"artifact":"aGk=","wasm_artifact":{"filename":"m.wasm","data":"aGk="}}"#,
    );
    let kinds: Vec<&str> = single.artifacts.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["binary", "wasm"]);
}

fn full_result() -> ExecutionResult {
    ExecutionResult {
        success: false,
        stdout: b"ok \xff\n".to_vec(),
        stderr: "tab\t\u{1b} é".into(),
        exit_code: Some(137),
        signal: Some(9),
        limit: Some(LimitKind::Memory),
        error: Some("out of memory".into()),
        language: Some("c".into()),
        detected_language: Some("c".into()),
        job_id: Some("j1".into()),
        artifacts: vec![Artifact {
            filename: "a.out".into(),
            kind: "binary".into(),
            content: vec![0, 1, 255],
            url: None,
        }],
        execution_mode: Some("cold".into()),
        network_mode: Some("zerotrust".into()),
        total_time_ms: Some(12),
        usage: Some(Usage { cpu_time_ms: 3, peak_memory_bytes: 4096, wall_time_ms: 5 }),
        compile: Some(Usage { cpu_time_ms: 9, peak_memory_bytes: 8192, wall_time_ms: 7 }),
        truncated: true,
        runtime: Some("/usr/bin/python3".into()),
        isolation: Some(Isolation {
            level: "full".into(),
            layers: vec!["user".into()],
            missing: vec!["cgroup".into()],
        }),
        ..ExecutionResult::new(Status::Completed)
    }
}

#[test]
fn our_result_is_the_superset_in_its_order() {
    let expected = concat!(
        r#"{"success":false,"stdout":"ok �\n","stderr":"tab\t\u001b é","exit_code":137,"#,
        r#""error":"out of memory","language":"c","detected_language":"c","job_id":"j1","#,
        r#""status":"completed","artifacts":[{"filename":"a.out","name":"a.out","type":"base64","#,
        r#""content_base64":"AAH/","size":3,"kind":"binary"}],"execution_mode":"cold","#,
        r#""network_mode":"zerotrust","total_time_ms":12,"stdout_base64":"b2sg/wo=","#,
        r#""usage":{"cpu_time_ms":3,"peak_memory_bytes":4096,"wall_time_ms":5},"#,
        r#""compile":{"cpu_time_ms":9,"peak_memory_bytes":8192,"wall_time_ms":7},"#,
        r#""signal":9,"limit":"memory","truncated":true,"runtime":"/usr/bin/python3","#,
        r#""isolation":{"level":"full","layers":["user"],"missing":["cgroup"]}}"#,
    );
    assert_eq!(wire::encode_result(&full_result(), wire::Shape::Once), expected);
    let compat = wire::encode_result(&full_result(), wire::Shape::Compat);
    assert!(compat.contains(r#""data":"AAH/""#) && compat.contains(r#""execution_time_ms":12"#));
    assert!(!compat.contains("timestamp"));
}

#[test]
fn what_we_write_we_read() {
    for shape in [Shape::Compat, Shape::Once, Shape::Lean] {
        let mut back = result(&wire::encode_result(&full_result(), shape));
        assert!(back.raw.take().is_some());
        assert_eq!(back, full_result());
        for status in [Status::Completed, Status::Timeout, Status::Cancelled, Status::Failed] {
            let result = ExecutionResult { status: status.clone(), ..full_result() };
            let sent = Job {
                created_at: Some(1),
                started_at: Some(2),
                completed_at: Some(3),
                language: result.language.clone(),
                detected_language: result.detected_language.clone(),
                network_mode: result.network_mode.clone(),
                result: Some(result.into()),
                ..Job::new("j1", status)
            };
            let strip = |mut job: Job| {
                job.raw = None;
                if let Some(result) = &mut job.result {
                    std::sync::Arc::make_mut(result).raw = None;
                }
                job
            };
            assert_eq!(strip(job(&wire::encode_job(&sent, shape))), sent);
            let text = wire::encode_cancelled(&sent, shape);
            let back = strip(wire::decode_cancelled(text.as_bytes(), 200, "x").unwrap());
            assert_eq!((back.status, back.result), (sent.status, sent.result));
        }
    }
}

#[test]
fn a_result_at_its_caps_is_within_the_limit_of_a_reply() {
    // A small part of every cap: what counts is what a byte costs in the worst case.
    let part = |cap: u64| usize::try_from(cap / 128).unwrap();
    let bound = REPLY_MAX_BYTES / 128;
    for worst in [0xff, 0, b'\n', b'"', b'x'] {
        let mut at_caps = full_result();
        at_caps.stdout = vec![worst; part(OUTPUT_DEFAULT_BYTES)];
        at_caps.stderr = at_caps.stdout.clone();
        at_caps.artifacts[0].content = vec![worst; part(ARTIFACTS_MAX_BYTES)];
        let job = Job { result: Some(at_caps.clone().into()), ..Job::new("j1", Status::Completed) };
        for text in [
            wire::encode_result(&at_caps, Shape::Lean),
            wire::encode_job(&job, Shape::Lean),
            wire::encode_cancelled(&job, Shape::Lean),
        ] {
            assert!(text.len() <= bound, "{worst}: {} > {bound}", text.len());
        }
        let back = result(&wire::encode_result(&at_caps, Shape::Lean));
        assert!(back.stdout == at_caps.stdout && back.stderr == at_caps.stderr, "{worst}");
    }
}

#[test]
fn our_jobs_in_their_shapes() {
    let waiting = Job {
        language: Some("go".into()),
        created_at: Some(1_705_314_600),
        ..Job::new("j", Status::Running)
    };
    assert_eq!(
        wire::encode_job(&waiting, wire::Shape::Compat),
        r#"{"job_id":"j","status":"running","language":"go","created_at":1705314600}"#
    );
    assert_eq!(
        wire::encode_jobs(std::slice::from_ref(&waiting)),
        r#"{"jobs":[{"job_id":"j","status":"running","language":"go","submitted_at":"2024-01-15T10:30:00Z"}],"count":1}"#
    );
    assert_eq!(
        wire::encode_submitted(&waiting),
        r#"{"job_id":"j","status":"pending","message":"Job submitted"}"#
    );
    let ended = Job { result: Some(full_result().into()), ..Job::new("j", Status::Completed) };
    let compat = wire::encode_job(&ended, wire::Shape::Compat);
    assert!(
        compat.starts_with(r#"{"job_id":"j","status":"completed","success":false,"stdout":"#),
        "{compat}"
    );
    assert!(compat.contains(r#""result":{"success":false,"stdout":"#), "{compat}");
    assert!(
        !wire::encode_job(&ended, wire::Shape::Once)
            .starts_with(r#"{"job_id":"j","status":"completed","success""#)
    );
}

#[test]
fn languages_are_read_in_every_shape_and_written_in_ours() {
    let names = |body: &str| -> Vec<String> {
        wire::decode_languages(body.as_bytes(), 200).unwrap().into_iter().map(|l| l.name).collect()
    };
    assert_eq!(
        names(r#"{"languages":["c","go"],"aliases":{"golang":"go"},"count":2}"#),
        ["c", "go"]
    );
    assert_eq!(names(r#"["c",{"id":"go"},{"name":"d"},null,{}]"#), ["c", "go", "d"]);
    let info = |name: &str, available| LanguageInfo {
        name: name.into(),
        aliases: vec![format!("{name}-alias")],
        available: Some(available),
        version: None,
        path: None,
        install: Some("apt install it".into()),
        untested: !available,
    };
    let ours = [info("c", true), info("forth", false)];
    let text = wire::encode_languages(&ours);
    assert!(
        text.starts_with(r#"{"languages":["c"],"aliases":{"c-alias":"c"},"count":1,"#),
        "{text}"
    );
    assert_eq!(wire::decode_languages(text.as_bytes(), 200).unwrap(), ours);
}

#[test]
fn a_key_is_valid_or_there_is_a_reason() {
    let key = |status, body: &str| wire::decode_key_info(body.as_bytes(), status);
    let valid = key(200, r#"{"valid":true,"tier":3,"status":"active"}"#).unwrap();
    assert_eq!((valid.valid, valid.tier.as_deref(), valid.reason), (true, Some("3"), None));
    let invalid = key(200, r#"{"valid":false,"reason":"expired"}"#).unwrap();
    assert_eq!((invalid.valid, invalid.reason.as_deref()), (false, Some("expired")));
    assert!(!key(401, r#"{"valid":false,"error":"suspended"}"#).unwrap().valid);
    assert_eq!(key(401, r#"{"error":"invalid_api_key"}"#).unwrap_err().code(), ErrorCode::Auth);
    assert_eq!(key(401, "").unwrap_err().code(), ErrorCode::Auth);
    let info = |valid, tier: Option<&str>| KeyInfo {
        valid,
        tier: tier.map(Into::into),
        reason: None,
        raw: None,
    };
    assert_eq!(
        wire::encode_key_info(&info(true, Some("2"))),
        r#"{"valid":true,"tier":2,"status":"active"}"#
    );
    assert_eq!(
        wire::encode_key_info(&info(true, Some("local"))),
        r#"{"valid":true,"tier":"local","status":"active"}"#
    );
    assert_eq!(
        wire::encode_key_info(&info(false, None)),
        r#"{"valid":false,"reason":"invalid_key","error":"invalid_key"}"#
    );
}

#[test]
fn health_is_any_answer_and_names_the_store_of_ours() {
    let health = wire::decode_health(b"fine, thanks", 200).unwrap();
    assert_eq!((health.healthy, health.status.as_str()), (true, "ok"));
    assert!(wire::decode_health(b"", 503).is_err());
    let text = wire::encode_health(&Health { healthy: true, status: "ok".into(), raw: None });
    assert_eq!(text, r#"{"status":"ok"}"#);
    let text = wire::encode_server_health("ok", "process:1", None, None);
    assert_eq!(text, r#"{"status":"ok","idempotency":"process:1"}"#);
}

#[test]
fn a_server_that_says_itself_that_it_takes_no_work_is_not_healthy() {
    let reason = Error::new(ErrorCode::Server, "over").with_wire(wire::STOPPING);
    let text = wire::encode_server_health("stopping", "process:1", Some("store:2"), Some(&reason));
    assert_eq!(
        text,
        r#"{"status":"stopping","success":false,"error":"stopping","message":"over","stderr":"","idempotency":"process:1","idempotency_jobs":"store:2"}"#
    );
    let health = wire::decode_health(text.as_bytes(), 503).unwrap();
    assert_eq!((health.healthy, health.status.as_str()), (false, "stopping"));
    let error = wire::decode_error(503, Some("5"), text.as_bytes());
    assert_eq!(
        (error.code(), error.wire(), error.message()),
        (ErrorCode::Server, "stopping", "over")
    );
    // A gateway that answers in its place.
    for body in
        ["<html>", "{}", r#"{"status":503,"error":"Service Unavailable"}"#, r#"{"status":"503"}"#]
    {
        let error = wire::decode_health(body.as_bytes(), 503).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Server, "{body}");
    }
    assert!(wire::decode_health(text.as_bytes(), 500).is_err());
}

/// What a reply takes is told before it is made: never less than it takes, and not much more.
#[test]
fn the_size_of_a_reply_is_known_ahead() {
    let kinds: [&[u8]; 6] = [b"x", b"\0", b"\xff", b"\"", "é".as_bytes(), b"a\x1b[1mb\n"];
    let small = kinds.iter().flat_map(|kind| [(0, *kind), (5000, *kind)]);
    let large = [((1 << 20) + 1, &b"x"[..]), ((1 << 20) + 1, b"\0")];
    let cases: Vec<(usize, &[u8])> = small.chain(large).collect();
    for (shape, (len, kind)) in [Shape::Compat, Shape::Once, Shape::Lean]
        .into_iter()
        .flat_map(|shape| cases.iter().map(move |case| (shape, *case)))
    {
        let mut result = ExecutionResult::new(Status::Completed);
        result.stdout = kind.iter().copied().cycle().take(len).collect();
        result.error = Some("\u{1}".repeat(1000));
        result.artifacts.push(Artifact {
            // Nine names of 255 bytes that are not UTF-8.
            filename: "\u{fffd}".repeat(9 * 255),
            kind: "file".to_string(),
            content: vec![7; len.min(5000)],
            url: None,
        });
        result.left_files = vec!["\"left".repeat(60); 50];
        let job = Job { result: Some(result.clone().into()), ..Job::new("j", Status::Completed) };
        let made = [
            (wire::encode_result(&result, shape).len(), wire::result_bytes(&result, shape)),
            (wire::encode_job(&job, shape).len(), wire::job_bytes(&job, shape)),
            (wire::encode_cancelled(&job, shape).len(), wire::job_bytes(&job, shape)),
        ];
        for (len_made, told) in made {
            assert!(len_made <= told, "{shape:?} {len} × {kind:?}: {len_made} > {told}");
            assert!(
                told <= len_made + 64 * 1024,
                "{shape:?} {len} × {kind:?}: {len_made} < {told}"
            );
        }
        let back =
            wire::decode_result(wire::encode_result(&result, shape).as_bytes(), 200).unwrap();
        assert_eq!(back.stdout, result.stdout, "{shape:?} {len} × {kind:?}");
    }
}
