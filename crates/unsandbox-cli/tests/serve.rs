// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve` with its real engine: every operation by raw HTTP, and the command as its client.

mod shell;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use shell::{call, get_by_gateway, listening, scratch, signal, unsandbox};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Reply, read_reply, request};

struct Served {
    child: Child,
    address: String,
}

fn serve(args: &[&str]) -> Served {
    let mut command = unsandbox(&["serve", "--isolation", "auto"]);
    let (child, address) = listening(command.args(args).stderr(Stdio::piped()));
    Served { child, address }
}

impl Served {
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(&request(host, method, path, headers, body.as_bytes())).unwrap();
        let mut stream: Box<dyn support::Wire> = Box::new(stream);
        read_reply(&mut *stream)
    }

    /// Stops the server by a signal; gives its exit code and its log.
    fn stop(mut self) -> (Option<i32>, String) {
        signal(&self.child, "TERM");
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn body(language: &str, code: &str) -> String {
    serde_json::json!({"language": language, "code": code}).to_string()
}

#[test]
fn every_operation_by_http() {
    let served = serve(&["--listen", "127.0.0.1:0", "--grace", "0"]);
    let reply =
        served.call("POST", "/execute", "", &body("bash", "echo out; echo err >&2; exit 7"));
    let json = reply.json();
    assert_eq!(
        (reply.status, &json["stdout"], &json["stderr"]),
        (200, &"out\n".into(), &"err\n".into())
    );
    assert_eq!((&json["success"], &json["exit_code"]), (&false.into(), &7.into()));
    assert_eq!(
        (&json["status"], &json["network_mode"]),
        (&"completed".into(), &"zerotrust".into())
    );
    let known = served.call("GET", &format!("/jobs/{}", reply.text("job_id")), "", "");
    assert_eq!(known.json()["result"]["stdout"], "out\n", "a synchronous job stays readable");

    let reply =
        served.call("POST", "/run?ttl=5", "Content-Type: text/plain\r\n", "#!/bin/bash\necho run");
    assert_eq!(
        (reply.text("stdout"), reply.text("detected_language")),
        ("run\n".into(), "bash".into())
    );

    let job = served.call("POST", "/execute/async", "", &body("bash", "echo before; sleep 600"));
    let path = format!("/jobs/{}", job.text("job_id"));
    let listed = served.call("GET", "/jobs", "", "").json();
    assert_eq!(listed["jobs"][0]["job_id"], job.text("job_id").as_str());
    assert!(
        ["pending", "running"].contains(&served.call("GET", &path, "", "").text("status").as_str())
    );
    let cancelled = served.call("DELETE", &path, "", "");
    assert_eq!(
        (cancelled.text("status"), cancelled.json()["exit_code"].as_i64()),
        ("cancelled".into(), Some(-1))
    );

    let job = served.call("POST", "/run/async", "", "#!/bin/bash\necho later");
    let done = served.call("GET", &format!("/jobs/{}?wait=30", job.text("job_id")), "", "");
    assert_eq!(
        (done.text("status"), done.json()["result"]["stdout"].as_str()),
        ("completed".into(), Some("later\n"))
    );

    assert!(served.call("GET", "/languages", "", "").body.contains("\"bash\""));
    assert!(served.call("POST", "/keys/validate", "", "{}").body.contains("\"valid\":true"));
    assert_eq!(served.call("GET", "/health", "", "").status, 200);
    served.call("POST", "/execute", "", &body("bsah", "1")).refused(400, "invalid_request");
    served
        .call("POST", "/execute", "Origin: http://evil\r\n", &body("bash", "1"))
        .refused(403, "forbidden");
    let (code, log) = served.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(" INFO POST /run 200 ") && !log.contains("ttl=5"), "{log}");
}

#[test]
fn a_run_ends_with_its_connection_and_a_server_with_its_runs() {
    let served = serve(&["--listen", "127.0.0.1:0", "--grace", "60"]);
    let host = served.address.strip_prefix("http://").unwrap();
    let mut gone = TcpStream::connect(host).unwrap();
    let forever = body("bash", "sleep 600");
    gone.write_all(&request(host, "POST", "/execute", "", forever.as_bytes())).unwrap();
    let short = body("bash", "echo heard");
    let mut stays = TcpStream::connect(host).unwrap();
    stays.write_all(&request(host, "POST", "/execute", "", short.as_bytes())).unwrap();
    let mut stays: Box<dyn support::Wire> = Box::new(stays);
    assert_eq!(read_reply(&mut *stays).text("stdout"), "heard\n");
    drop(gone);
    // Were the run still there, the stop would wait for it as long as its grace.
    let began = Instant::now();
    let (code, log) = served.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn the_command_is_a_client_of_the_server() {
    let socket = scratch("serve").join("s");
    let served = serve(&["--listen", &format!("unix:{}", socket.display()), "--grace", "0"]);
    let url = served.address.clone();
    let ended = call(&[
        "run",
        "--url",
        &url,
        "-l",
        "bash",
        "-c",
        "printf '%s ' \"$@\"; exit 3",
        "--",
        "a",
        "b c",
    ]);
    assert_eq!((ended.code, ended.out.as_str()), (3, "a b c "), "{}", ended.err);
    let submitted = call(&["run", "--url", &url, "--async", "-l", "bash", "-c", "echo later"]);
    let awaited = call(&["wait", "--url", &url, submitted.out.trim()]);
    assert_eq!((awaited.code, awaited.out.as_str()), (0, "later\n"), "{}", awaited.err);
    let (code, log) = served.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!socket.exists());
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_keys_file_that_others_may_read_is_refused_unless_told() {
    let file = scratch("serve-open").join("keys.csv");
    private(&file, "bear\n");
    let shown = file.to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--keys", shown];
    serve(&listen);
    for mode in [0o644, 0o640, 0o604, 0o602] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let ended = call(&[&["serve", "--isolation", "auto"][..], &listen].concat());
        assert_eq!((ended.code, ended.out.as_str()), (125, ""), "{}", ended.err);
        for words in [format!("mode {mode:04o}"), format!("chmod 600 {shown}")] {
            assert!(ended.err.contains(&words), "{}", ended.err);
        }
        assert!(ended.err.contains("--allow-readable-keys"), "{}", ended.err);
    }
    let served = serve(&[&listen[..], &["--allow-readable-keys", "--grace", "0"]].concat());
    let (_, log) = served.stop();
    assert!(log.contains(" WARN the keys file ") && log.contains("chmod 600"), "{log}");
}

/// Serves with a keys file of this mode on a read-only mount of a file system, in namespaces of its own, at an
/// address that nobody can listen at: the refusal is of the keys, or else of the address. `None` where this
/// user may not make namespaces.
fn serve_from_mount(name: &str, file_system: &str, mode: &str) -> Option<String> {
    let mount = scratch(name).join("mount");
    std::fs::create_dir_all(&mount).unwrap();
    let script = "mount -t $2 none $1 && chmod 755 $1 && echo bear >$1/keys && chmod $3 $1/keys && \
                  mount -o remount,ro $1 || exit 77; \
                  exec $0 serve --store memory --isolation auto --listen 192.0.2.1:1 --keys $1/keys";
    let ended = std::process::Command::new("unshare")
        .args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_unsandbox")])
        .arg(&mount)
        .args([file_system, mode])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    match ended.status.code() {
        Some(125) => Some(err),
        Some(77) | Some(1) if !err.contains("keys file") => None,
        other => panic!("{other:?} {err}"),
    }
}

#[test]
fn a_secret_of_a_container_is_taken_and_other_read_only_mounts_are_named() {
    let Some(taken) = serve_from_mount("serve-secret", "tmpfs", "444") else { return };
    assert!(!taken.contains("keys file"), "{taken}");
    let refused = serve_from_mount("serve-secret-changed", "tmpfs", "466").unwrap();
    assert!(refused.contains("may read or change it"), "{refused}");
    let refused = serve_from_mount("serve-read-only", "ramfs", "444").unwrap();
    for words in ["mode 0444", "the file is on a read-only mount: ", "--allow-readable-keys"] {
        assert!(refused.contains(words), "{refused}");
    }
    assert!(!refused.contains("chmod"), "{refused}");
}

#[test]
fn advice_for_a_keys_file_on_standard_input_names_the_file() {
    let file = scratch("serve-stdin").join("keys of mine.csv");
    private(&file, "bear\n");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let ended = unsandbox(&["serve", "--isolation", "auto", "--keys", "/dev/stdin"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    let real = file.canonicalize().unwrap();
    assert!(err.contains(&format!("chmod 600 '{}'", real.display())), "{err}");
    assert!(ended.status.code() == Some(125) && !err.contains("/dev/stdin"), "{err}");
}

#[test]
fn keys_come_through_a_pipe_too() {
    let directory = scratch("serve-pipe");
    let script = format!(
        "exec {} serve --store memory --isolation auto --listen unix:{}/s --keys <(echo bear)",
        env!("CARGO_BIN_EXE_unsandbox"),
        directory.display()
    );
    let mut child = std::process::Command::new("bash")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    drop(Served { address: String::new(), child });
    assert!(line.starts_with("listening on unix:"), "{line}");
}

#[test]
fn connections_are_at_most_half_of_the_open_files() {
    let script = format!(
        "ulimit -n 200; exec {} serve --store memory --isolation auto --listen 127.0.0.1:0 --grace 0",
        env!("CARGO_BIN_EXE_unsandbox")
    );
    let mut child = std::process::Command::new("bash")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let (_, log) = Served { address: line, child }.stop();
    assert!(log.contains(" WARN --connections was lowered from 4096 to 100, "), "{log}");
}

#[test]
fn keys_of_file_and_environment_add_up() {
    let file = scratch("serve-keys").join("keys.csv");
    private(&file, "pub-1,sec-1\n");
    let mut command =
        unsandbox(&["serve", "--isolation", "auto", "--listen", "127.0.0.1:0", "--keys"]);
    command.arg(&file).env("UNSANDBOX_SERVE_KEYS", "bear, pub-2:sec-2").stderr(Stdio::null());
    let (child, address) = listening(&mut command);
    let served = Served { child, address };
    for key in ["bear", "sec-1", "sec-2"] {
        let headers = format!("Authorization: Bearer {key}\r\n");
        assert_eq!(served.call("GET", "/jobs", &headers, "").status, 200, "{key}");
    }
    served.call("GET", "/jobs", "", "").refused(401, "invalid_api_key");
    let url = served.address.as_str();
    let key = ["--public-key", "pub-2", "--secret-key", "sec-2"];
    let run = ["run", "--url", url, "-l", "bash", "-c", "echo signed"];
    let ended = call(&[&run[..], &key].concat());
    assert_eq!((ended.code, ended.out.as_str()), (0, "signed\n"), "{}", ended.err);
    let unpaired = ["--public-key", "pub-2", "--secret-key", "sec-1"];
    for (key, hint) in [(&unpaired[..], "are one pair"), (&["--key", "other"], "UNSANDBOX_API_KEY")]
    {
        let ended = call(&[&run[..], key].concat());
        assert_eq!(ended.code, 125, "{}", ended.err);
        assert!(ended.err.lines().last().unwrap().contains(hint), "{}", ended.err);
    }
}

/// The status of a request with this bearer key.
fn status_of(served: &Served, key: &str) -> u16 {
    served.call("GET", "/jobs", &format!("Authorization: Bearer {key}\r\n"), "").status
}

#[test]
fn sighup_reads_the_keys_again_and_keeps_them_where_they_are_wrong() {
    let file = scratch("serve-again").join("keys");
    private(&file, "first\n");
    let served =
        serve(&["--listen", "127.0.0.1:0", "--grace", "0", "--keys", file.to_str().unwrap()]);
    assert_eq!((status_of(&served, "first"), status_of(&served, "second")), (200, 401));
    private(&file, "second\n");
    signal(&served.child, "HUP");
    wait_for("the new key is accepted", || status_of(&served, "second") == 200);
    assert_eq!(status_of(&served, "first"), 401);
    // A list with a fault, one without keys, one that others may read: each is logged, and changes nothing.
    for (text, mode) in [("half,\n", 0o600), ("# none\n", 0o600), ("third\n", 0o644)] {
        private(&file, text);
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        signal(&served.child, "HUP");
    }
    private(&file, "second\nfourth\n");
    signal(&served.child, "HUP");
    wait_for("the last list is accepted", || status_of(&served, "fourth") == 200);
    assert_eq!((status_of(&served, "second"), status_of(&served, "third")), (200, 401));
    let (code, log) = served.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGHUP: 1 keys are accepted from now on"), "{log}");
    assert!(log.contains("SIGHUP: 2 keys are accepted from now on"), "{log}");
}

#[test]
fn sighup_with_a_pipe_in_place_of_the_keys_is_refused_and_the_server_still_stops() {
    let file = scratch("serve-fifo").join("keys");
    private(&file, "first\n");
    let served =
        serve(&["--listen", "127.0.0.1:0", "--grace", "0", "--keys", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    signal(&served.child, "HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(status_of(&served, "first"), 200);
    signal(&served.child, "TERM");
    let mut served = served;
    wait_for("SIGTERM is obeyed", || served_has_ended(&served));
    let mut log = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(
        log.contains("the keys stay as they were") && log.contains("not a regular file"),
        "{log}"
    );
}

/// Whether the process has exited; it stays a zombie until it is waited for.
fn served_has_ended(served: &Served) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.child.id())).unwrap();
    stat.rsplit(')').next().unwrap().trim().starts_with('Z')
}

#[test]
fn the_end_of_its_terminal_stops_a_server_but_under_nohup() {
    for (hangup, goes_on) in [("--default-signal=HUP", false), ("--ignore-signal=HUP", true)] {
        let (person, program) = shell::terminal();
        let listen = format!("unix:{}", scratch("serve-terminal").join("s").display());
        let plain =
            unsandbox(&["serve", "--isolation", "auto", "--grace", "0", "--listen", &listen]);
        let mut child = std::process::Command::new("setsid")
            .args(["--ctty", "env", hangup])
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(program)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        // With the terminal there, it is no more than a wish for the keys.
        signal(&child, "HUP");
        assert_eq!(call(&["health", "--url", &listen]).code, 0, "{hangup}");
        drop(person);
        if goes_on {
            signal(&child, "HUP");
            assert_eq!(call(&["health", "--url", &listen]).code, 0, "{hangup}");
            signal(&child, "TERM");
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{hangup}");
    }
}

#[test]
fn a_line_of_the_log_has_client_job_language_and_times() {
    let served = serve(&["--listen", "127.0.0.1:0", "--grace", "0"]);
    let id = served.call("POST", "/execute", "", &body("bash", "true")).text("job_id");
    served.call("GET", &format!("/jobs/{id}"), "X-Request-Id: the-id\r\n", "");
    let (_, log) = served.stop();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" from ")).collect();
    let told = format!(" - from 127.0.0.1 job {id} bash run ");
    assert!(lines[0].contains("POST /execute 200 ") && lines[0].contains(&told), "{log}");
    assert!(lines[0].contains(" ms request "), "{log}");
    assert!(lines[1].ends_with(&format!(" - from 127.0.0.1 job {id} request the-id")), "{log}");
}

#[test]
fn the_operator_says_which_hosts_programs_may_reach() {
    let served = serve(&["--listen", "127.0.0.1:0", "--grace", "0", "--egress-allow", "*.example"]);
    let [one, other] = ["http://other.test/", "http://127.0.0.1.nip.test:8080/"];
    let code = format!("{}; {}", get_by_gateway(one), get_by_gateway(other));
    let request = serde_json::json!({
        "language": "bash", "code": code, "network_mode": "semitrusted",
    });
    let reply = served.call("POST", "/execute", "", &request.to_string());
    assert_eq!(reply.json()["network_mode"], "semitrusted");
    let refused = "egress refused: other.test:80 (not on the allow-list)";
    assert!(reply.json()["stdout"].as_str().unwrap().starts_with(refused), "{}", reply.json());
    assert!(reply.json()["error"].as_str().unwrap().contains(refused), "{}", reply.json());
    let (_, log) = served.stop();
    assert!(log.contains(refused), "{log}");

    let ended = call(&["serve", "--listen", "127.0.0.1:0", "--egress-allow", "https://a.example"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("\"https://a.example\""), "{ended:?}");
}

/// Processes of the jails, whose arguments this machine sees.
fn running(argument: &str) -> usize {
    let argument = format!("\0{argument}\0");
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        line.ends_with(&argument).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(of).count()
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_runs_nothing_twice_and_has_lost_its_jobs() {
    let listen = format!("unix:{}", scratch("killed").join("s").display());
    // Arguments that no other test's programs have.
    let [long, longer] = [6, 7].map(|seconds| format!("{seconds}00.{}", std::process::id()));
    let mut served = serve(&["--listen", &listen]);
    let url = served.address.clone();
    let command =
        unsandbox(&["run", "--url", &url, "-l", "bash", "-c", &format!("exec sleep {long}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let waiting = std::thread::spawn({
        let client = unsandbox::Client::builder().base_url(&url).build().unwrap();
        let options = unsandbox::CallOptions::new().deadline(Duration::from_secs(60));
        let request = unsandbox::Request::new("bash", format!("exec sleep {longer}"));
        move || client.with(options).execute(&request).unwrap_err()
    });
    wait_for("both programs run", || running(&long) == 1 && running(&longer) == 1);
    let jobs = call(&["jobs", "--url", &url, "--json"]).out;
    let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
    let id = jobs["jobs"][0]["job_id"].as_str().unwrap();
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let again = serve(&["--listen", &listen, "--grace", "0"]);
    let error = waiting.join().unwrap();
    assert!(error.may_have_run() && error.message().contains("restarted or replaced"), "{error}");
    let ended = command.wait_with_output().unwrap();
    let words = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(125), "{words}");
    assert!(words.contains(" accepted job ") && !words.contains("may still be running"), "{words}");
    // Another process only names the job.
    let ended = call(&["job", "--url", &url, id]);
    assert!(ended.code == 125 && !ended.err.contains("forgot"), "{ended:?}");
    wait_for("the programs have ended with their server", || {
        running(&long) + running(&longer) == 0
    });
    let (_, log) = again.stop();
    assert!(log.contains("POST /execute 412 ") && !log.contains("POST /execute 200 "), "{log}");
}

/// A C program that keeps its compiler at work: it includes itself 2^40 times, which takes little memory a second.
const NEVER_COMPILED: &str = "#if __INCLUDE_LEVEL__ < 40\n#include __FILE__\n#include __FILE__\n#endif\n\
                              int main(void);\n";

#[test]
fn a_run_that_is_compiled_ends_with_its_job_its_connection_and_its_deadline() {
    let served = serve(&["--listen", "127.0.0.1:0", "--grace", "0", "--concurrency", "1"]);
    let host = served.address.strip_prefix("http://").unwrap();
    let forever = body("c", NEVER_COMPILED);
    let began = Instant::now();
    // Its place is the only one: what runs next tells that it has gone.
    let next = || {
        let reply = served.call("POST", "/execute", "", &body("bash", "echo next"));
        assert_eq!(reply.text("stdout"), "next\n");
    };
    let job = served.call("POST", "/execute/async", "", &forever);
    let path = format!("/jobs/{}", job.text("job_id"));
    while served.call("GET", &path, "", "").text("status") != "running" {}
    let cancelled = served.call("DELETE", &path, "", "");
    assert_eq!(cancelled.text("status"), "cancelled");
    next();

    let mut gone = TcpStream::connect(host).unwrap();
    gone.write_all(&request(host, "POST", "/execute", "", forever.as_bytes())).unwrap();
    // Whether it has its place by then or is about to take it, it is not to keep it.
    served.call("GET", "/health", "", "");
    drop(gone);
    next();

    let client = unsandbox::Client::builder().base_url(&served.address).build().unwrap();
    let options = unsandbox::CallOptions::new().deadline(Duration::from_secs(1));
    let late = client.with(options).execute(&unsandbox::Request::new("c", NEVER_COMPILED));
    assert_eq!(late.unwrap_err().code(), unsandbox::ErrorCode::Timeout);
    next();
    // Far below the minute that a compiler has, of which there were three.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}
