// SPDX-License-Identifier: MIT OR Apache-2.0
//! No run is missing from the audit file, the metrics and `usage` after a restart: the process that runs a job, or finds it
//! lost, counts it and writes its end; the one that took the submission writes `pending` if it handed the job on.

#[path = "support/audit_file.rs"]
mod audit_file;
#[path = "support/served.rs"]
mod served;
mod support;

use audit_file::AuditFile;
use serde_json::{Value, json};
use served::{Place, Served};
use unsandbox_protocol::Status;
use unsandbox_server::ServerOptions;
use unsandbox_store::{StoreOptions, admin};

/// A server that runs one job of a key at once.
fn serve(place: &Place, audit: &AuditFile) -> Served {
    let store = StoreOptions { concurrency: 1, ..StoreOptions::default() };
    let audit = Some(audit.log.clone());
    Served::start(place, store, ServerOptions { audit, ..ServerOptions::default() })
}

impl Served {
    fn submit(&self, code: &str, more: &str) -> String {
        let headers = format!("Authorization: Bearer a\r\n{more}");
        let body = support::execute_body(code);
        let reply = self.call_with("POST", "/execute/async", &headers, &body);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text("job_id")
    }

    /// Runs by their status, as `GET /usage` tells them; the metrics have as many.
    fn runs(&self) -> Value {
        let usage = self.call("GET", "/usage", "a", "").body;
        let runs = serde_json::from_str::<Value>(&usage).unwrap()["runs"].clone();
        let text = self.metrics();
        let counted: u64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("unsandbox_runs_total{")?.rsplit(' ').next())
            .map(|count| count.parse::<u64>().unwrap())
            .sum();
        let told = runs.as_object().unwrap().values().map(|count| count.as_u64().unwrap());
        assert_eq!(told.sum::<u64>(), counted, "{text}");
        runs
    }
}

fn lines_of<'a>(lines: &'a [Value], job_id: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["job_id"] == job_id).collect()
}

fn statuses(lines: &[Value], job_id: &str) -> Vec<String> {
    lines_of(lines, job_id).iter().map(|line| line["status"].as_str().unwrap().into()).collect()
}

#[test]
fn a_job_that_waited_at_a_stop_is_pending_then_and_counts_in_the_next_process() {
    let (place, audit) = (Place::new("stop"), AuditFile::new("adopted-stop"));
    let server = serve(&place, &audit);
    let held = server.submit("hold", "Idempotency-Key: held\r\n");
    server.inner.wait_for_accepted(1);
    let waited = server.submit("the-code", "Idempotency-Key: waited\r\nX-Request-Id: first\r\n");
    server.stop();
    let server = serve(&place, &audit);
    audit.lines(3);
    assert_eq!(server.runs(), json!({"completed": 1}));
    for (key, job_id) in [("held", &held), ("waited", &waited)] {
        let code = if key == "held" { "hold" } else { "the-code" };
        assert_eq!(server.submit(code, &format!("Idempotency-Key: {key}\r\n")), *job_id);
    }
    let later = server.submit("later", "");
    audit.lines(4);
    assert_eq!(server.runs(), json!({"completed": 2}));
    server.stop();
    let lines = audit.lines(4);
    assert_eq!(lines.len(), 4, "a repeated submission has the line of the first: {lines:#?}");
    assert_eq!(statuses(&lines, &held), ["cancelled"]);
    assert_eq!(statuses(&lines, &later), ["completed"]);
    let [pending, ended] = lines_of(&lines, &waited)[..] else { panic!("{lines:#?}") };
    assert_eq!((&pending["status"], &pending["request_id"]), (&json!("pending"), &json!("first")));
    let mut rest = ended.as_object().unwrap().clone();
    assert!(rest.remove("time").is_some() && rest.remove("duration_ms").unwrap().is_u64());
    let wanted = json!({
        "request_id": null, "client": null, "key": pending["key"], "language": "python",
        "code_sha256": "ec31abcf90c570516d58e1393431f2f12a047de1722f3710f0922479022a6d08",
        "network_mode": "zerotrust", "status": "completed", "exit_code": 0, "limit": null,
        "error": null, "job_id": waited,
    });
    assert_eq!(Value::Object(rest), wanted);
    assert_eq!(pending["code_sha256"], wanted["code_sha256"]);
    assert_eq!(pending["key"].as_str().unwrap().len(), 8);
}

#[test]
fn a_job_that_ran_at_a_crash_has_the_line_of_the_process_that_finds_it_lost() {
    let (place, audit) = (Place::new("crash"), AuditFile::new("adopted-crash"));
    let server = serve(&place, &audit);
    let lost = server.submit("hold", "");
    server.inner.wait_for_accepted(1);
    // To a server with a copy, the process of the job has ended.
    let after = Place::new("crash-after");
    admin::backup(&place.0.join("u.db"), &after.0.join("u.db")).unwrap();
    let found = AuditFile::new("adopted-found");
    let next = serve(&after, &found);
    found.lines(1);
    assert_eq!(next.runs(), json!({"failed": 1}));
    next.stop();
    let next = serve(&after, &found);
    assert_eq!(next.runs(), json!({}), "it was counted by the process before");
    next.stop();
    let lines = found.lines(1);
    assert_eq!(statuses(&lines, &lost), ["failed"]);
    assert_eq!((lines.len(), &lines[0]["client"]), (1, &Value::Null));
    assert!(lines[0]["code_sha256"].is_string() && lines[0]["key"].is_string());
}

#[test]
fn a_job_counts_in_the_server_that_runs_it_where_two_have_one_store() {
    let place = Place::new("two");
    let (runs, takes) = (AuditFile::new("adopted-runs"), AuditFile::new("adopted-takes"));
    let first = serve(&place, &runs);
    let second = serve(&place, &takes);
    let job_id = second.submit("hold", "Idempotency-Key: k\r\n");
    first.inner.wait_for_accepted(1);
    assert_eq!(first.submit("hold", "Idempotency-Key: k\r\n"), job_id);
    takes.lines(1);
    let mut waiting = std::net::TcpStream::connect(&second.host).unwrap();
    let path = format!("/jobs/{job_id}?wait=20");
    let headers = "Authorization: Bearer a\r\n";
    let poll = support::request(&second.host, "GET", &path, headers, b"");
    std::io::Write::write_all(&mut waiting, &poll).unwrap();
    first.inner.release();
    assert_eq!(support::read_reply(&mut waiting).text("status"), "completed");
    runs.lines(1);
    assert_eq!((first.runs(), second.runs()), (json!({"completed": 1}), json!({})));
    second.stop();
    first.stop();
    assert_eq!(statuses(&takes.lines(1), &job_id), ["pending"]);
    assert_eq!(statuses(&runs.lines(1), &job_id), [Status::Completed.as_str()]);
    assert_eq!((takes.lines(1).len(), runs.lines(1).len()), (1, 1));
}
