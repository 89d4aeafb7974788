// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox keys`, and `serve` with keys and limits that change while it runs.

mod shell;

use shell::{call, listening, scratch, unsandbox};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn start(keys: &Path, limits: &Path) -> Served {
        let mut command = unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"]);
        command.args(["--store", "memory", "--grace", "0", "--concurrency", "2", "--keys"]);
        command.arg(keys).arg("--key-limits").arg(limits).stderr(Stdio::null());
        let (child, url) = listening(&mut command);
        Served { child, url }
    }

    fn run(&self, key: &str, code: &str) -> shell::Ended {
        call(&["run", "--url", &self.url, "--key", key, "-l", "bash", "-c", code])
    }

    fn takes(&self, key: &str) -> bool {
        call(&["validate-key", "--url", &self.url, "--key", key]).code == 0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Makes a key in this file; gives the key.
fn new_key(file: &Path, comment: &str) -> String {
    let ended = call(&["keys", "new", "--comment", comment, "--add", file.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    ended.out.strip_prefix("key: ").unwrap().trim().to_string()
}

#[test]
fn a_new_key_is_told_once_and_the_file_has_its_digest() {
    let file = scratch("keys-new").join("keys.csv");
    let key = new_key(&file, "alice");
    assert!(key.starts_with("unsb-sk-") && key.len() == 31, "{key}");
    // A file that somebody wrote may lack its last line feed.
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().trim_end()).unwrap();
    let other = new_key(&file, "bob");
    assert_ne!(key, other);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("sha256:") && lines[0].ends_with(",alice"), "{text}");
    assert!(!text.contains(&key) && !text.contains(&other));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let pair: serde_json::Value =
        serde_json::from_str(&call(&["keys", "new", "--pair", "--json"]).out).unwrap();
    let (public, secret) = (pair["public_key"].as_str().unwrap(), pair["secret_key"].as_str());
    assert_eq!(pair["line"].as_str().unwrap(), format!("{public},{}", secret.unwrap()));
    let wrong = call(&["keys", "new", "--comment", "two\nlines"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    let nowhere = call(&["keys", "new", "--add", "/nonexistent/keys.csv"]);
    assert_eq!((nowhere.code, nowhere.out.as_str()), (125, ""), "a key that is not in the file");
}

#[test]
fn keys_and_limits_are_read_again_when_their_files_change() {
    let directory = scratch("keys-watched");
    let (file, limits) = (directory.join("keys.csv"), directory.join("limits.toml"));
    let alice = new_key(&file, "alice");
    std::fs::write(&limits, "[default]\nlanguages = [\"python\"]\n").unwrap();
    let served = Served::start(&file, &limits);
    let refused = served.run(&alice, "echo hi");
    assert_eq!(refused.code, 125);
    assert!(refused.err.contains("this key may not run bash"), "{}", refused.err);
    std::fs::write(&limits, "[key.alice]\nlanguages = [\"bash\"]\n").unwrap();
    wait_for("the limits are read", || served.run(&alice, "echo hi").out == "hi\n");
    // A fault changes nothing.
    std::fs::write(&limits, "[key.alice]\nlanguages = 3\n").unwrap();
    let bob = new_key(&file, "bob");
    assert!(!served.takes(&bob));
    std::fs::write(&limits, "").unwrap();
    wait_for("the new key is taken", || served.takes(&bob));
    assert_eq!(served.run(&alice, "echo hi").out, "hi\n");
    let text = std::fs::read_to_string(&file).unwrap();
    let left: Vec<&str> = text.lines().filter(|line| !line.ends_with(",alice")).collect();
    std::fs::write(&file, left.join("\n")).unwrap();
    wait_for("the old key is revoked", || !served.takes(&alice));
    assert!(served.takes(&bob));
}

#[test]
fn a_server_does_not_start_with_limits_that_it_cannot_keep() {
    let directory = scratch("keys-wrong");
    let (file, limits) = (directory.join("keys.csv"), directory.join("limits.toml"));
    new_key(&file, "alice");
    for (text, expected) in [
        ("[key.alice]\nreserved = 2\n", "2 places are reserved for keys, and this server runs 2"),
        ("[default]\nconcurrency = 0\n", "concurrency in [default] of the key limits file is 0"),
        ("[default]\nconcurrency 3\n", "is not TOML"),
    ] {
        std::fs::write(&limits, text).unwrap();
        let (keys, limits) = (file.to_str().unwrap(), limits.to_str().unwrap());
        let ended = call(&["serve", "--concurrency", "2", "--keys", keys, "--key-limits", limits]);
        assert_eq!(ended.code, 125);
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
}
