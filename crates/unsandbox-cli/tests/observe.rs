// SPDX-License-Identifier: MIT OR Apache-2.0
//! What operators see of `unsandbox serve` with its real engine: metrics, readiness, the log as JSON, the audit file.

mod shell;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use serde_json::Value;
use shell::{call, listening, scratch, signal, unsandbox};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::exposition::Exposition;
use support::{Reply, read_reply, request};

struct Served {
    child: Child,
    host: String,
}

impl Served {
    fn start(args: &[&str]) -> Served {
        let mut command = unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"]);
        command.args(args).env("UNSANDBOX_SERVE_KEYS", "the-secret-key").stderr(Stdio::piped());
        let (child, url) = listening(&mut command);
        Served { host: url.strip_prefix("http://").expect("over TCP").to_string(), child }
    }

    fn call(&self, method: &str, path: &str, more: &str, body: &str) -> Reply {
        let headers = format!("Authorization: Bearer the-secret-key\r\n{more}");
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let bytes = request(&self.host, method, path, &headers, body.as_bytes());
        stream.write_all(&bytes).unwrap();
        read_reply(&mut stream)
    }

    fn run(&self, path: &str, id: &str, code: &str) -> Reply {
        let body = serde_json::json!({"language": "bash", "code": code}).to_string();
        self.call("POST", path, &format!("X-Request-Id: {id}\r\n"), &body)
    }

    /// A job that runs for ten minutes, once it has begun.
    fn begin(&self, id: &str) -> String {
        let job = self.run("/execute/async", id, "sleep 600").text("job_id");
        let begun = Instant::now();
        while self.call("GET", &format!("/jobs/{job}"), "", "").text("status") != "running" {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never ran");
        }
        job
    }

    /// Stops the server; gives its log.
    fn stop(mut self) -> String {
        signal(&self.child, "TERM");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn engine_and_store_are_measured() {
    let socket = scratch("observe-metrics").join("m");
    let listen = format!("unix:{}", socket.display());
    let served = Served::start(&["--grace", "0", "--metrics-listen", &listen]);
    let scrape = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(&request("localhost", "GET", "/metrics", "", b"")).unwrap();
        Exposition::read(&read_reply(&mut stream).body)
    };
    let job = served.run("/execute/async", "b", "echo out; sleep 600").text("job_id");
    let begun = Instant::now();
    let read = loop {
        let read = scrape();
        if read.value("unsandbox_time_to_start_seconds_count", "") == 1.0 {
            break read;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it never started: {read:?}");
    };
    assert_eq!(read.value("unsandbox_start_seconds_count", ""), 1.0);
    assert_eq!(read.value("unsandbox_running", ""), 1.0);
    assert_eq!(read.samples("unsandbox_runs_total"), [""; 0]);
    let ended = served.call("DELETE", &format!("/jobs/{job}"), "", "");
    assert_eq!(ended.text("status"), "cancelled");
    let done = served.run("/execute", "a", "echo later; exit 3");
    assert_eq!(done.json()["exit_code"], 3, "{done:?}");
    let read = scrape();
    assert_eq!(read.value("unsandbox_start_seconds_count", ""), 2.0);
    assert_eq!(read.value("unsandbox_time_to_start_seconds_count", ""), 2.0);
    assert_eq!(
        read.samples("unsandbox_runs_total"),
        [
            "language=bash,limit=none,mode=cold,network=zerotrust,status=cancelled 1",
            "language=bash,limit=none,mode=cold,network=zerotrust,status=completed 1",
        ]
    );
    assert_eq!(read.value("unsandbox_queue_wait_seconds_count", r#"queue="engine""#), 2.0);
    assert_eq!(read.value("unsandbox_queue_wait_seconds_count", r#"queue="store""#), 1.0);
    assert_eq!(read.samples("unsandbox_queue_length"), ["queue=engine 0", "queue=store 0"]);
    assert_eq!(read.value("unsandbox_running", ""), 0.0);
    assert!(read.value("unsandbox_store_commit_seconds_count", "") >= 3.0);
    assert_eq!(read.value("unsandbox_store_failures_total", ""), 0.0);
    let out = "out\nlater\n".len() as f64;
    assert_eq!(read.value("unsandbox_run_output_bytes_total", r#"stream="stdout""#), out);
    assert_eq!(read.samples("unsandbox_run_isolation_total").len(), 1);
    let ready = served.call("GET", "/readyz", "", "");
    assert_eq!(ready.status, 200, "{ready:?}");
    let log = served.stop();
    assert!(log.contains("metrics without a key are at unix:/") && !socket.exists(), "{log}");
}

#[test]
fn the_log_as_json_has_one_object_an_event_and_no_secret() {
    let served = Served::start(&["--grace", "0", "--log", "json", "--verbose"]);
    let code = "echo the-secret-code";
    let body = serde_json::json!({"language": "bash", "code": code}).to_string();
    let headers = "X-Request-Id: id-\"1\"\r\n";
    let reply = served.call("POST", "/execute?a=the-secret-query", headers, &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    served.call("GET", "/jobs/the%0Ajob", "", "");
    let log = served.stop();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    for line in &lines {
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["level"].is_string());
        assert!(line["target"].is_string(), "{line}");
    }
    for secret in ["secret", "the-code"] {
        assert!(!log.contains(secret), "{log}");
    }
    let requests: Vec<_> =
        lines.iter().filter(|line| line["target"] == "unsandbox::request").collect();
    let [run, missing] = requests[..] else { panic!("{log}") };
    assert_eq!(run["request_id"], "id-\"1\"");
    assert_eq!((&run["method"], &run["path"]), (&"POST".into(), &"/execute".into()));
    assert_eq!((&run["status"], &run["language"]), (&200.into(), &"bash".into()));
    assert_eq!(run["job_id"], reply.text("job_id"));
    assert_eq!((run["key"].as_str().unwrap().len(), &run["client"]), (8, &"127.0.0.1".into()));
    assert!(run["run_ms"].is_u64() && run["duration_ms"].is_u64() && run["bytes"].is_u64());
    assert_eq!((&missing["status"], &missing["language"]), (&404.into(), &Value::Null));
    assert!(missing.get("message").is_none(), "{missing}");
    assert!(lines.iter().any(|line| line["message"].is_string()), "{log}");
}

fn wait_for_lines(path: &Path, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            assert!(!text.contains("secret"), "{text}");
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{count} lines never came: {text}");
        std::thread::yield_now();
    }
}

#[test]
fn audit_lines_go_to_a_private_file_that_may_be_rotated() {
    let directory = scratch("observe-audit");
    let (path, old) = (directory.join("audit"), directory.join("audit.1"));
    let served = Served::start(&["--grace", "0", "--audit", path.to_str().unwrap()]);
    let code = "exit 3 # the-secret-code";
    let job = served.run("/execute", "id-1", code).text("job_id");
    let lines = wait_for_lines(&path, 1);
    let line = &lines[0];
    assert_eq!((&line["request_id"], &line["job_id"]), (&"id-1".into(), &job.as_str().into()));
    assert_eq!((&line["status"], &line["exit_code"]), (&"completed".into(), &3.into()));
    // As `printf 'exit 3 # the-secret-code' | sha256sum` says.
    assert_eq!(
        line["code_sha256"],
        "adf26ad00f4afb6e6ba97520bab93832e65a4c58153f6c67298a92f962012f28"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&path, &old).unwrap();
    signal(&served.child, "HUP");
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "SIGHUP opened no file");
        std::thread::yield_now();
    }
    served.run("/execute/async", "id-2", "echo later");
    assert_eq!(wait_for_lines(&path, 1)[0]["request_id"], "id-2");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let log = served.stop();
    assert!(log.contains("SIGHUP: the audit file was opened anew"), "{log}");
    assert_eq!(wait_for_lines(&old, 1).len(), 1);
}

#[test]
fn what_runs_and_what_waits_at_a_stop_is_in_the_audit_file() {
    let path = scratch("observe-stop").join("audit");
    let args = ["--grace", "0", "--concurrency", "1", "--audit", path.to_str().unwrap()];
    let served = Served::start(&args);
    served.begin("runs");
    for id in ["handed", "waits"] {
        served.run("/execute/async", id, "true");
    }
    served.stop();
    let mut told: Vec<_> = wait_for_lines(&path, 3)
        .iter()
        .map(|line| format!("{} {}", line["request_id"], line["status"]))
        .collect();
    told.sort();
    assert_eq!(told, [r#""handed" "pending""#, r#""runs" "cancelled""#, r#""waits" "pending""#]);
}

#[test]
fn what_ran_and_what_waited_at_a_crash_is_in_the_audit_file_of_the_next_server() {
    let directory = scratch("observe-crash");
    let (path, store) = (directory.join("audit"), directory.join("u.db"));
    let (audit, store) = (path.to_str().unwrap(), store.to_str().unwrap());
    let args = ["--grace", "0", "--concurrency", "1", "--audit", audit, "--store", store];
    let mut served = Served::start(&args);
    let ran = served.begin("ran");
    let waited = served.run("/execute/async", "waited", "exit 3").text("job_id");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    assert_eq!(wait_for_lines(&path, 0), [] as [Value; 0]);
    let served = Served::start(&args);
    wait_for_lines(&path, 2);
    served.stop();
    let told = wait_for_lines(&path, 2);
    assert_eq!(told.len(), 2, "{told:?}");
    for (job, status, exit) in [(ran, "failed", Value::Null), (waited, "completed", 3.into())] {
        let line = told.iter().find(|line| line["job_id"] == job.as_str()).unwrap();
        assert_eq!((&line["status"], &line["exit_code"]), (&status.into(), &exit), "{line}");
        assert_eq!((&line["request_id"], &line["client"]), (&Value::Null, &Value::Null));
        assert!(line["code_sha256"].is_string() && line["key"].is_string(), "{line}");
    }
}

#[test]
fn an_audit_file_or_an_address_that_cannot_be_used_is_refused() {
    let directory = scratch("observe-refused");
    let audit = call(&["serve", "--audit", directory.to_str().unwrap()]);
    assert_eq!(audit.code, 125, "{}", audit.err);
    assert!(audit.err.contains("not a regular file"), "{}", audit.err);
    let address = call(&["serve", "--metrics-listen", "nowhere"]);
    assert!(address.code == 2 && address.err.contains("HOST:PORT"), "{}", address.err);
    let form = call(&["serve", "--log", "xml"]);
    assert!(form.code == 2 && form.err.contains("json"), "{}", form.err);
}
