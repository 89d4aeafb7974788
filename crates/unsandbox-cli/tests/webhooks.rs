// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve --webhooks`: from a submission in the shell to a receiver that checks the signature, over a crash.

#[path = "../../unsandbox-server/tests/support/receiver.rs"]
mod receiver;
mod shell;

use receiver::{Answer, Got, Receiver};
use shell::{Ended, call, listening, scratch, unsandbox};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const KEY: &str = "unsb-sk-test";
/// Of the guide: what a receiver does.
const GUIDE: &str = include_str!("../../../docs/guides/own-server.md");

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

fn serve(place: &Path) -> Served {
    let keys = place.join("keys.csv");
    if !keys.exists() {
        let digest =
            "sha256:bd74b664f11875e7a81b17d295255759d9929ac38cdcd9acc70d169d76cf81fb,alice\n";
        std::fs::write(&keys, digest).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut command = unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"]);
    command.args(["--webhooks", "--webhooks-allow", "127.0.0.1", "--grace", "0", "--keys"]);
    command.arg(keys).arg("--store").arg(place.join("u.db"));
    let (child, url) = listening(command.stderr(Stdio::null()));
    Served { child, url }
}

impl Served {
    fn submit(&self, code: &str, callback_url: &str) -> Ended {
        let url = &self.url;
        let endpoint = ["run", "--url", url, "--key", KEY, "--async", "-l", "bash", "-c", code];
        call(&[&endpoint[..], &["--callback-url", callback_url]].concat())
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Whether the program of the guide takes a webhook that is checked at this time.
fn is_taken(got: &Got, now: i64) -> bool {
    let begin = GUIDE.find("def verify(").expect("the guide has the program");
    let imports = GUIDE[..begin].rfind("```python\n").unwrap() + "```python\n".len();
    let end = begin + GUIDE[begin..].find("```").unwrap();
    let secret = call(&["keys", "webhook-secret", "--key", KEY]);
    let text = serde_json::json!({
        "headers": got.headers, "body": got.body, "secret": secret.out.trim(), "now": now,
    });
    let program = format!(
        "{}\nimport json, sys\ncase = json.loads(sys.argv[1])\ntime.time = lambda: case['now']\n\
         print(verify(case['secret'], case['headers'], case['body'].encode()))\n",
        &GUIDE[imports..end]
    );
    let ended = Command::new("python3").args(["-c", &program, &text.to_string()]).output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    match out.trim() {
        "True" => true,
        "False" => false,
        _ => panic!("{out} {}", String::from_utf8_lossy(&ended.stderr)),
    }
}

#[test]
fn a_receiver_verifies_what_it_gets_as_the_guide_says() {
    let place = scratch("webhooks");
    let (server, receiver) = (serve(&place), Receiver::start());
    let submitted = server.submit("echo done", &receiver.url("/hook"));
    assert_eq!(submitted.code, 0, "{}", submitted.err);
    let mut got = receiver.next();
    assert_eq!(got.json()["data"]["job_id"], submitted.out.trim());
    let time: i64 = got.header("webhook-timestamp").parse().unwrap();
    assert!(is_taken(&got, time) && is_taken(&got, time + 299));
    assert!(!is_taken(&got, time + 301) && !is_taken(&got, time - 301), "a replay");
    got.body = got.body.replace("completed", "failed");
    assert!(!is_taken(&got, time), "another body");
}

#[test]
fn a_webhook_whose_server_crashes_as_it_posts_comes_again() {
    let place = scratch("webhooks-crash");
    let (server, receiver) = (serve(&place), Receiver::answering([Answer::Close]));
    let submitted = server.submit("echo done", &receiver.url("/"));
    let first = receiver.next();
    server.kill();
    let _server = serve(&place);
    let got = receiver.next();
    let id = submitted.out.trim();
    assert_eq!(got.json()["data"], serde_json::json!({"job_id": id, "status": "completed"}));
    assert_eq!((got.header("webhook-id"), got.body), (first.header("webhook-id"), first.body));
}

#[test]
fn a_submission_that_nobody_would_post_about_is_refused_in_words() {
    let place = scratch("webhooks-refused");
    let server = serve(&place);
    let private = server.submit("true", "http://10.0.0.1/hook?token=secret");
    assert!(private.err.contains("a private address"), "{}", private.err);
    assert!(!private.err.contains("secret"), "{}", private.err);
    let args = ["-l", "bash", "-c", "true", "--callback-url", "https://a.example/"];
    let waited = call(&[&["run", "--url", &server.url, "--key", KEY], &args[..]].concat());
    assert_eq!(waited.code, 2, "{}", waited.err);
    assert!(waited.err.contains("callback_url is for jobs"), "{}", waited.err);
    let local = call(&[&["run", "--url", "local:"], &args[..]].concat());
    assert_eq!(local.code, 2, "{}", local.err);
    for (more, words) in [
        (&["--webhooks"][..], "--keys FILE"),
        (&["--webhooks", "--webhooks-allow", "a.example"], "--webhooks-allow"),
        (&["--webhooks-allow", "10.0.0.0/8"], "--webhooks"),
        (&["--webhooks", "--webhooks-ca", "/nonexistent"], "/nonexistent"),
    ] {
        let start = ["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"];
        let ended = call(&[&start, more].concat());
        assert!(ended.code != 0 && ended.err.contains(words), "{more:?}: {}", ended.err);
    }
    let mut command = unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0"]);
    command.args(["--webhooks", "--store", "memory", "--keys"]).arg(place.join("keys.csv"));
    let ended = Ended::from(command.output().unwrap());
    assert!(ended.err.contains("leave --store memory away"), "{}", ended.err);
}

#[test]
fn the_secret_is_that_of_the_key_in_use() {
    let secret = |args: &[&str]| call(&[&["keys", "webhook-secret"], args].concat());
    let bearer = secret(&["--key", "key"]);
    assert_eq!(
        bearer.out, "whsec_VkrP4GkRGcuc1RMsFhN6l0ltfKyft4DA09Gy44LCLh0=\n",
        "{}",
        bearer.err
    );
    assert_eq!(secret(&["--public-key", "p", "--secret-key", "key"]).out, bearer.out);
    let none = secret(&[]);
    assert_eq!(none.code, 125, "{}", none.err);
    assert!(none.err.contains("UNSANDBOX_API_KEY"), "{}", none.err);
}
