// SPDX-License-Identifier: MIT OR Apache-2.0
//! Request ids and audit lines: who ran what, and how it ended.

#[path = "support/audit_file.rs"]
mod audit_file;
mod support;

use audit_file::AuditFile;
use serde_json::{Value, json};
use support::{Running, execute_body, keyed, read_reply, start};
use unsandbox_protocol::Status;
use unsandbox_server::ServerOptions;

const KEY: &str = "Authorization: Bearer the-secret-key\r\n";

struct Audited {
    server: Running,
    file: AuditFile,
}

impl Audited {
    fn start(name: &str) -> Audited {
        let file = AuditFile::new(name);
        let audit = Some(file.log.clone());
        let server = start(ServerOptions { audit, ..keyed("the-secret-key") });
        Audited { server, file }
    }

    fn lines(&self, count: usize) -> Vec<Value> {
        self.file.lines(count)
    }

    fn post(&self, path: &str, more: &str, code: &str) -> support::Reply {
        let headers = format!("{KEY}{more}");
        self.server.call("POST", path, &headers, execute_body(code).as_bytes())
    }
}

#[test]
fn each_end_is_one_line_that_says_who_and_what() {
    let audited = Audited::start("ends");
    audited.post("/execute", "X-Request-Id: id-1\r\n", "the-code");
    audited.post("/execute", "X-Request-Id: id-2\r\n", "timeout");
    audited.post("/execute", "X-Request-Id: id-3\r\n", "busy").refused(429, "rate_limit_exceeded");
    let mut lines = audited.lines(3);
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        let time = line.remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z') && time.as_str().unwrap().len() == 24);
        assert!(line.remove("duration_ms").unwrap().is_u64());
        let key = line.remove("key").unwrap();
        assert!(key.as_str().unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
    let line = |id: &str,
                code: &str,
                status: &str,
                exit: Value,
                limit: Value,
                error: Value,
                job: Value| {
        json!({
            "request_id": id, "client": "127.0.0.1", "code_sha256": sha256(code),
            "language": "python", "network_mode": "zerotrust", "status": status,
            "exit_code": exit, "limit": limit, "error": error, "job_id": job,
        })
    };
    let nothing = Value::Null;
    assert_eq!(
        lines,
        [
            line(
                "id-1",
                "the-code",
                "completed",
                json!(0),
                nothing.clone(),
                nothing.clone(),
                json!("job-1")
            ),
            line(
                "id-2",
                "timeout",
                "timeout",
                json!(124),
                json!("wall"),
                nothing.clone(),
                json!("job-2")
            ),
            line(
                "id-3",
                "busy",
                "refused",
                nothing.clone(),
                nothing.clone(),
                json!("rate_limit_exceeded"),
                nothing
            ),
        ]
    );
}

fn sha256(text: &str) -> &'static str {
    // As `printf TEXT | sha256sum` says.
    match text {
        "the-code" => "ec31abcf90c570516d58e1393431f2f12a047de1722f3710f0922479022a6d08",
        "timeout" => "f77d1bb58da886e3cbeebbf35a0b3d217b003506792268052c6a730fbc5ec9bc",
        "busy" => "c9bc072f4fa8189466c2a8f2c36a56a4ef1e60a2ffa4986ba2f155cd176c128b",
        _ => panic!("no digest of {text}"),
    }
}

#[test]
fn a_job_and_a_run_whose_client_left_have_a_line_too() {
    let audited = Audited::start("jobs");
    let job = audited.post("/execute/async", "", "hold").text("job_id");
    let left = audited.server.send("POST", "/execute", KEY, execute_body("hold").as_bytes());
    audited.server.backend.wait_for_accepted(2);
    drop(left);
    assert_eq!(audited.lines(1)[0]["job_id"], "job-2");
    audited.server.call("DELETE", &format!("/jobs/{job}"), KEY, b"");
    let lines = audited.lines(2);
    let told: Vec<_> = lines.iter().map(|line| (&line["job_id"], &line["status"])).collect();
    let cancelled = Value::from("cancelled");
    assert_eq!(told, [(&"job-2".into(), &cancelled), (&Value::from(job), &cancelled)]);
}

#[test]
fn a_run_that_failed_inside_the_service_and_a_repeated_one_have_one_line() {
    let audited = Audited::start("failed");
    let headers = format!("{KEY}Idempotency-Key: k\r\n");
    let send =
        || audited.server.send("POST", "/execute", &headers, execute_body("fail").as_bytes());
    let (mut first, mut second) = (send(), send());
    audited.server.backend.wait_for(&Status::Running, 1);
    audited.server.backend.wait_for_sinks("job-1", 2);
    audited.server.backend.release();
    for reply in [read_reply(&mut first), read_reply(&mut second)] {
        assert!(reply.body.contains("job-1"), "{reply:?}");
    }
    let lines = audited.lines(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["status"], &lines[0]["error"]), (&"failed".into(), &"internal".into()));
    assert_eq!(lines[0]["job_id"], "job-1");
}

#[test]
fn every_reply_has_the_id_of_its_request() {
    let server = start(keyed("the-secret-key"));
    let given = format!("{KEY}X-Request-Id: mine-1\r\n");
    let body = execute_body("panic");
    for (method, path, headers, body, status) in [
        ("GET", "/health", "X-Request-Id: mine-1\r\n", "", 200),
        ("GET", "/jobs", "X-Request-Id: mine-1\r\n", "", 401),
        ("GET", "/nothing", &given, "", 404),
        ("PUT", "/jobs", &given, "", 405),
        ("POST", "/execute", &given, &body, 500),
        ("GET", "/metrics", &given, "", 200),
    ] {
        let reply = server.call(method, path, headers, body.as_bytes());
        assert_eq!(
            (reply.status, reply.header("x-request-id")),
            (status, Some("mine-1")),
            "{path}"
        );
    }
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(65));
    let mut made = Vec::new();
    for headers in ["", "X-Request-Id: a b\r\n", &long] {
        let reply = server.call("GET", "/health", headers, b"");
        let id = reply.header("x-request-id").unwrap().to_string();
        assert!(id.len() <= 64 && !made.contains(&id), "{id}");
        made.push(id);
    }
}
