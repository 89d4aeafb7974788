// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve --store`: jobs over stops and crashes, and `unsandbox store`.

mod shell;

use shell::{call, listening, scratch, unsandbox};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

struct Served {
    child: Child,
    url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(store: &Path) -> Served {
    let mut command = unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"]);
    command.arg("--store").arg(store).args(["--concurrency", "1", "--grace", "0"]);
    let (child, url) = listening(command.stderr(Stdio::null()));
    Served { child, url }
}

impl Served {
    fn submit(&self, code: &str, more: &[&str]) -> String {
        let args = ["run", "--url", &self.url, "--async", "-l", "bash", "-c", code];
        let ended = call(&[&args[..6], more, &args[6..]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out.trim().to_string()
    }

    fn wait(&self, id: &str) -> (i32, String, String) {
        let ended = call(&["wait", "--url", &self.url, id]);
        (ended.code, ended.out, ended.err)
    }

    /// Waits until the job has begun to run.
    fn wait_for_start(&self, id: &str) {
        let is_running =
            || call(&["job", "--url", &self.url, "--json", id]).out.contains("\"running\"");
        while !is_running() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn place(name: &str) -> PathBuf {
    scratch(name).join("deep/unsandbox.db")
}

#[test]
fn jobs_survive_a_crash_of_the_server() {
    let store = place("durable");
    let server = serve(&store);
    let done = server.submit("echo done", &[]);
    assert_eq!(server.wait(&done), (0, "done\n".into(), String::new()));
    let ran = server.submit("sleep 30", &[]);
    server.wait_for_start(&ran);
    let waited = server.submit("echo waited", &[]);
    let again = server.submit("echo again", &["--rerun", "if_lost"]);
    server.kill();
    let server = serve(&store);
    assert_eq!(server.wait(&done), (0, "done\n".into(), String::new()));
    let (code, out, err) = server.wait(&ran);
    assert_eq!((code, out.as_str()), (125, ""));
    assert!(err.contains("its program may have run") && err.contains("rerun"), "{err}");
    assert_eq!(server.wait(&waited), (0, "waited\n".into(), String::new()));
    assert_eq!(server.wait(&again), (0, "again\n".into(), String::new()));
}

#[test]
fn a_job_that_ran_runs_again_after_a_crash_only_if_it_may() {
    let store = place("again");
    let server = serve(&store);
    let again = server.submit("echo begun; sleep 1; echo ended", &["--rerun", "if_lost"]);
    server.wait_for_start(&again);
    server.kill();
    let server = serve(&store);
    assert_eq!(server.wait(&again), (0, "begun\nended\n".into(), String::new()));
}

#[test]
fn a_store_is_checked_copied_exported_and_compacted() {
    let store = place("admin");
    let server = serve(&store);
    let id = server.submit("echo done", &[]);
    server.wait(&id);
    let path = store.to_str().unwrap();
    let checked = call(&["store", "check", path]);
    assert!(checked.out.starts_with("0 waiting, 0 running and 1 finished jobs"), "{}", checked.out);
    let exported = call(&["store", "export", path]);
    let line: serde_json::Value = serde_json::from_str(exported.out.trim()).unwrap();
    assert_eq!((&line["job"]["job_id"], &line["owner"]), (&id.clone().into(), &"".into()));
    let copy = format!("{path}.copy");
    assert_eq!(call(&["store", "backup", path, &copy]).code, 0);
    assert!(call(&["store", "backup", path, &copy]).err.contains("exists"));
    assert!(call(&["store", "compact", path]).out.contains("bytes before"));
    let missing = call(&["store", "check", "/does/not/exist"]);
    assert_eq!(missing.code, 125, "{}", missing.err);
    assert!(missing.err.contains("/does/not/exist"), "{}", missing.err);
    drop(server);
    let served = serve(Path::new(&copy));
    assert_eq!(served.wait(&id).1, "done\n");
}

#[test]
fn a_server_whose_store_cannot_be_used_does_not_start_and_says_what_to_do() {
    let ended = call(&[
        "serve",
        "--isolation",
        "auto",
        "--listen",
        "127.0.0.1:0",
        "--store",
        "/proc/x/y.db",
    ]);
    assert_eq!(ended.code, 125, "{}", ended.err);
    assert!(
        ended.err.contains("/proc/x/y.db") && ended.err.contains("--store memory"),
        "{}",
        ended.err
    );
}
