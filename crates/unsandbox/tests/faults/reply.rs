// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bodies of a 200 that are strange, and every reply of the two specification documents.

use crate::stub::{Play, Stub, json};
use crate::table::{Outcome, Row, end_of};
use unsandbox::{Client, Error, Request};

const SENSELESS: &str = "PROTOCOL, may have run; 1";
const FINE: &str = "answered; 1";

pub fn rows() -> Vec<Row> {
    let bad = |fault, play| Row::submission(fault, play, SENSELESS, SENSELESS);
    let good = |fault, play| Row::submission(fault, play, FINE, FINE);
    let mut rows = vec![
        bad("empty body", || json(200, "")),
        bad("HTML", || json(200, "<html><body>Welcome</body></html>")),
        bad("JSON that is cut", || json(200, r#"{"success":tr"#)),
        bad("JSON that is not an object", || json(200, "[1]")),
        bad("an object that is not a result", || json(200, "{}")),
        bad("nulls everywhere", || json(200, r#"{"success":null,"stdout":null,"exit_code":null}"#)),
        bad("nested 10,000 deep", || {
            json(
                200,
                &format!("{{\"success\":true,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
            )
        }),
        good("duplicate keys", || {
            json(200, r#"{"success":false,"success":true,"stdout":"a","stdout":"b"}"#)
        }),
        good("numbers as strings", || {
            json(200, r#"{"success":"true","exit_code":"0","total_time_ms":"5"}"#)
        }),
        good("null where text is expected", || {
            json(200, r#"{"success":true,"stdout":null,"artifacts":null}"#)
        }),
        good("invalid UTF-8", || {
            Play::Answer(200, vec![], b"{\"success\":true,\"stdout\":\"\xff\xfe\"}".into())
        }),
        good("lone surrogates", || json(200, r#"{"success":true,"stdout":"\ud800x"}"#)),
        good("NUL in strings", || json(200, r#"{"success":true,"stdout":"a\u0000b"}"#)),
        good("unknown status word with a result", || {
            json(200, r#"{"job_id":"j","status":"archived","result":{"success":true}}"#)
        }),
    ];
    rows.extend(documents());
    rows
}

fn documents() -> Vec<Row> {
    vec![
        Row::own("first document: execute", FINE, || execute(A_OK)),
        Row::own("first document: execute, program failed", FINE, || execute(A_FAILED)),
        Row::own("first document: run", FINE, || execute(A_RUN)),
        Row::own("second document: execute", FINE, || execute(B_OK)),
        Row::own("second document: execute, program failed", FINE, || execute(B_FAILED)),
        Row::own("second document: run", FINE, || execute(B_RUN)),
        Row::own("both documents: submission", FINE, || {
            call(PENDING, |client| client.execute_async(&Request::new("python", "")).map(drop))
        }),
        Row::own("first document: job", "answered; 0", || {
            call(A_JOB, |c| c.get_job("j").map(drop))
        }),
        Row::own("second document: job", "answered; 0", || {
            call(B_JOB, |c| c.get_job("j").map(drop))
        }),
        Row::own("both documents: list of jobs", "answered; 0", || {
            call(LIST, |c| c.list_jobs().map(drop))
        }),
        Row::own("first document: cancel", "answered; 0", || {
            call(A_CANCEL, |c| c.cancel_job("j").map(drop))
        }),
        Row::own("second document: cancel", "answered; 0", || {
            call(B_CANCEL, |c| c.cancel_job("j").map(drop))
        }),
    ]
}

fn execute(body: &'static str) -> Outcome {
    call(body, |client| client.execute(&Request::new("python", "")).map(drop))
}

fn call(body: &'static str, call: impl FnOnce(&Client) -> Result<(), Error>) -> Outcome {
    let stub = Stub::start(move |_| json(200, body));
    let end = call(&crate::client_of(&stub.url).build().unwrap());
    let submissions = stub.asked().iter().filter(|asked| asked.method == "POST").count();
    Outcome { end: end_of(&end), submissions, runs: submissions }
}

const A_OK: &str = r#"{"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "exit_code": 0, "language": "python", "job_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "artifacts": [], "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 523}"#;
const A_FAILED: &str = r#"{"success": false, "stdout": "", "stderr": "SyntaxError: invalid syntax\n", "exit_code": 1, "language": "python", "job_id": "b2c3d4e5-f6a7-8901-bcde-f23456789012", "artifacts": [], "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 312}"#;
const A_RUN: &str = r#"{"success": true, "stdout": "Language auto-detected!\n", "stderr": "", "exit_code": 0, "language": "python", "detected_language": "python", "job_id": "f6a7b8c9-d0e1-2345-fghi-678901234567", "artifacts": [], "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 412}"#;
const A_JOB: &str = r#"{"job_id": "c3d4e5f6-a7b8-9012-cdef-345678901234", "status": "completed", "created_at": 1699564800, "started_at": 1699564801, "completed_at": 1699564805, "result": {"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "exit_code": 0, "language": "python", "artifacts": [], "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 4021}}"#;
const A_CANCEL: &str = r#"{"message": "Job cancelled", "job_id": "e5f6a7b8-c9d0-1234-efgh-567890123456", "result": {"success": false, "stdout": "Partial output before cancel...", "stderr": "", "exit_code": -1, "language": "python", "artifacts": [], "execution_mode": "pooled", "network_mode": "zerotrust", "total_time_ms": 1523}}"#;
const B_OK: &str = r#"{"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "error": null, "language": "python", "exit_code": 0}"#;
const B_FAILED: &str = r#"{"success": false, "error": "Syntax error in code", "stderr": "SyntaxError: invalid syntax\n"}"#;
const B_RUN: &str = r#"{"success": true, "stdout": "Hello\n", "stderr": "", "error": null, "detected_language": "ruby", "exit_code": 0}"#;
const B_JOB: &str = r#"{"job_id": "job_1234567890_abc", "status": "completed", "result": {"success": true, "stdout": "Hello from unsandbox!\n", "stderr": "", "error": null, "language": "python", "exit_code": 0}}"#;
const B_CANCEL: &str = r#"{"message": "Job cancelled", "job_id": "job_1234567890_abc", "result": {"success": false, "stdout": "Partial", "stderr": "", "error": "Job cancelled by user", "exit_code": -1}}"#;
const PENDING: &str = r#"{"job_id": "job_1234567890_abc", "status": "pending"}"#;
const LIST: &str = r#"{"jobs": [{"job_id": "job_1234567890_abc", "status": "running", "language": "python", "submitted_at": "2024-01-15T10:30:00Z"}, {"job_id": "job_0987654321_xyz", "status": "pending", "language": "go", "submitted_at": "2024-01-15T10:29:45Z"}]}"#;
