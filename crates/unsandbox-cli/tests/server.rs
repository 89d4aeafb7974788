// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command against a server whose backend is scripted: options on the way out, results on the way in.

mod shell;
#[path = "../../unsandbox-server/tests/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use shell::{Ended, call, call_with_stdin, scratch, signal, unsandbox};
use support::{Running, keyed, start, start_at};
use unsandbox_protocol::{Status, Stream};
use unsandbox_server::ServerOptions;

fn server() -> Running {
    start(ServerOptions::default())
}

fn run(server: &Running, code: &str, more: &[&str]) -> Ended {
    let mut args = vec!["run", "--url", &server.address, "-l", "python", "-c", code];
    args.extend(more);
    call(&args)
}

#[test]
fn output_and_exit_code_are_the_programs_own() {
    let server = server();
    let ended = run(&server, "hello", &[]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "hello", ""));
    let ended = run(&server, "exit 7", &[]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (7, "exit 7", "a word\n"));
    let ended = run(&server, "timeout", &[]);
    assert_eq!((ended.code, ended.out.as_str()), (124, "timeout"));
    assert!(ended.err.contains("ttl") && ended.err.lines().count() == 1, "{}", ended.err);
    let ended = run(&server, "timeout", &["-q"]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (124, "timeout", ""));
    let ended = run(&server, "timeout", &["-v"]);
    assert!(ended.err.contains(&server.address) && ended.err.contains("ttl"), "{}", ended.err);
}

#[test]
fn less_than_full_isolation_is_one_line() {
    let ended = run(&server(), "reduced", &[]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "reduced"));
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(ended.err.contains("user namespaces"), "{}", ended.err);
}

#[test]
fn every_option_arrives() {
    let server = server();
    let file = scratch("options").join("data.txt");
    std::fs::write(&file, "content").unwrap();
    let renamed = format!("other={}", file.display());
    let ended = run(
        &server,
        "show",
        &[
            "-e",
            "A=b=c",
            "-f",
            file.to_str().unwrap(),
            "-f",
            &renamed,
            "--ttl",
            "5",
            "-n",
            "semitrusted",
            "--limit",
            "memory_bytes=64M",
            "--",
            "-x",
            "y z",
        ],
    );
    assert_eq!(ended.code, 0, "{}", ended.err);
    for part in [
        "(\"A\", \"b=c\")",
        "filename: Some(\"data.txt\")",
        "filename: Some(\"other\")",
        "ttl: Some(5)",
        "\"semitrusted\"",
        "memory_bytes: Some(67108864)",
        "args: [\"-x\", \"y z\"]",
        "stdin: None",
        "return_artifact: false",
    ] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
}

#[test]
fn standard_input_goes_to_the_program_or_is_the_program() {
    let server = server();
    let url = server.address.as_str();
    let bytes = format!("stdin: Some({:?})", b"in\xff");
    let piped = call_with_stdin(&["run", "--url", url, "-l", "python", "-c", "show"], b"in\xff");
    assert!(piped.out.contains(&bytes), "{}", piped.out);
    let source = call_with_stdin(&["run", "--url", url, "-l", "python", "-"], b"show");
    assert!(source.out.contains("stdin: None"), "{} {}", source.out, source.err);
    let file = scratch("stdin").join("in");
    std::fs::write(&file, b"in\xff").unwrap();
    let args = ["run", "--url", url, "-l", "python", "--stdin", file.to_str().unwrap(), "-"];
    let both = call_with_stdin(&args, b"show");
    assert!(both.out.contains(&bytes), "{}", both.out);
}

#[test]
fn the_language_follows_from_the_extension() {
    let server = server();
    let file = scratch("extension").join("x.PL");
    std::fs::write(&file, "show").unwrap();
    let ended = call(&["run", "--url", &server.address, file.to_str().unwrap()]);
    assert!(ended.out.contains("language: Some(\"perl\")"), "{} {}", ended.out, ended.err);
}

#[test]
fn json_is_the_whole_result() {
    let ended = run(&server(), "exit 3", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    assert_eq!((&json["exit_code"], &json["stderr"]), (&3.into(), &"a word\n".into()));
}

#[test]
fn artifacts_are_saved_under_safe_names() {
    let directory = scratch("artifacts").join("new/inside");
    let ended = run(&server(), "artifact", &["--artifacts", directory.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(std::fs::read(directory.join("out.bin")).unwrap(), b"\x7fELF");
    assert!(!directory.join("../out.bin").exists());
}

#[test]
fn artifacts_of_one_name_do_not_replace_each_other() {
    let directory = scratch("artifacts-all");
    let ended = run(&server(), "artifacts", &["--artifacts", directory.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let names = ["d/a", "e/a", "e/a-2", "plain", "plain-2"];
    for (index, name) in names.iter().enumerate() {
        let content = std::fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!(content, index.to_string(), "{name}");
    }
}

#[test]
fn a_result_at_its_caps_arrives() {
    let directory = scratch("caps");
    let server = server();
    let child = unsandbox(&["run", "--url", &server.address, "-l", "python", "-c", "caps"])
        .arg("--artifacts")
        .arg(&directory)
        .output()
        .unwrap();
    assert_eq!(
        child.status.code(),
        Some(0),
        "{:?}",
        &child.stderr[child.stderr.len().saturating_sub(300)..]
    );
    assert!(child.stdout == vec![0xff; 16 << 20] && child.stderr == vec![0; 16 << 20]);
    assert!(std::fs::read(directory.join("big")).unwrap() == vec![7; 32 << 20]);
}

#[test]
fn a_lost_server_leaves_the_id_of_its_job() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let child = shell::start(&["run", "--url", &url, "-l", "python", "-c", "1"]);
    let (mut stream, _) = listener.accept().unwrap();
    let read_to = |stream: &mut TcpStream, words: &[u8]| {
        let mut read = Vec::new();
        while !read.ends_with(words) {
            read.push(0);
            stream.read_exact(read.last_mut().map(std::slice::from_mut).unwrap()).unwrap();
        }
    };
    // Takes the job, and is gone when it is asked for it.
    for (words, body) in [
        ("GET /health ", "{}"),
        ("POST /execute/async ", "{\"job_id\":\"j7\",\"status\":\"pending\"}"),
    ] {
        read_to(&mut stream, words.as_bytes());
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(reply.as_bytes()).unwrap();
    }
    drop(listener);
    read_to(&mut stream, b"GET /jobs/j7");
    drop(stream);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 125);
    assert!(ended.err.contains(&format!("unsandbox wait --url {url} j7")), "{}", ended.err);
}

/// Reads so much of a stream that is not at its end.
fn read_of(stream: &mut impl std::io::Read, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn output_is_printed_while_the_program_runs() {
    let server = server();
    let url = &server.address;
    let piped = |args: &[&str]| {
        let mut command = unsandbox(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut run = piped(&["run", "--url", url, "-l", "python", "-c", "hold"]);
    server.backend.wait_for(&Status::Running, 1);
    let mut wait = piped(&["wait", "--url", url, "job-1"]);
    // The submission, and the stream of each command.
    server.backend.wait_for_sinks("job-1", 3);
    for text in ["first ", "second "] {
        server.backend.print("job-1", Stream::Stdout, text.as_bytes());
        server.backend.print("job-1", Stream::Stderr, b"err ");
        for child in [&mut run, &mut wait] {
            assert_eq!(read_of(child.stdout.as_mut().unwrap(), text.len()), text);
            assert_eq!(read_of(child.stderr.as_mut().unwrap(), 4), "err ");
        }
    }
    server.backend.release();
    for child in [run, wait] {
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "", ""));
    }
}

#[test]
fn jobs_are_submitted_listed_shown_awaited_and_cancelled() {
    let server = server();
    let url = server.address.as_str();
    let submitted = run(&server, "hold", &["--async"]);
    let id = submitted.out.trim().to_string();
    assert_eq!((submitted.code, id.as_str()), (0, "job-1"));
    let listed = call(&["jobs", "--url", url]);
    assert!(listed.out.lines().nth(1).unwrap().starts_with("job-1  running"), "{}", listed.out);
    run(&server, "hold", &["--async"]);
    let page = call(&["jobs", "--limit", "1", "--url", url]);
    assert_eq!(page.out.lines().count(), 2, "{}", page.out);
    assert!(page.err.contains("there are more; go on with --after job-1"), "{}", page.err);
    let rest = call(&["jobs", "--limit", "1", "--after", "job-1", "--json", "--url", url]);
    assert!(
        rest.out.contains("\"job-2\"") && rest.out.contains("\"has_more\":false"),
        "{}",
        rest.out
    );
    let wrong = call(&["jobs", "--limit", "0", "--url", url]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    let shown = call(&["job", &id, "--url", url]);
    assert!(shown.out.contains("running"), "{}", shown.out);
    let refused = call(&["delete", &id, "--url", url]);
    assert_eq!(refused.code, 125);
    assert!(refused.err.contains("cancel it first"), "{}", refused.err);
    let shown = call(&["job", &id, "--url", url, "--json"]);
    assert!(shown.out.contains("\"status\":\"running\""), "{}", shown.out);
    let late = call(&["wait", &id, "--url", url, "--timeout", "1"]);
    assert_eq!(late.code, 125, "{}", late.err);
    let cancelled = call(&["cancel", &id, "--url", url]);
    assert_eq!((cancelled.code, cancelled.out.as_str()), (0, "partial"), "{}", cancelled.err);
    let awaited = call(&["wait", &id, "--url", url]);
    assert_eq!((awaited.code, awaited.out.as_str()), (125, "partial"), "{}", awaited.err);
    assert!(awaited.err.contains("Job cancelled by user"), "{}", awaited.err);
    let deleted = call(&["delete", &id, "--json", "--url", url]);
    assert_eq!((deleted.code, deleted.out.trim()), (0, r#"{"job_id":"job-1","deleted":true}"#));
    assert_eq!(call(&["job", &id, "--url", url]).code, 125);
    let unknown = call(&["job", "nothing", "--url", url]);
    assert_eq!(unknown.code, 125);
    assert!(unknown.err.contains("nothing"), "{}", unknown.err);
}

#[test]
fn a_run_that_others_cancel_says_so() {
    let server = server();
    let start = || {
        let child = shell::start(&["run", "--url", &server.address, "-l", "python", "-c", "hold"]);
        server.backend.wait_for(&Status::Running, 1);
        child
    };
    let child = start();
    let cancelled = call(&["cancel", "job-1", "--url", &server.address]);
    assert_eq!((cancelled.code, cancelled.err.as_str()), (0, ""));
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (125, "partial"));
    assert!(ended.err.contains("Job cancelled by user"), "{}", ended.err);
    let child = start();
    // Its wait for the end is there.
    server.backend.wait_for_sinks("job-2", 2);
    server.stop.cancel();
    server.stop_now.cancel();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (125, "partial"), "{}", ended.err);
    assert!(ended.err.contains("was stopped"), "{}", ended.err);
}

#[test]
fn an_interrupt_cancels_the_job_and_shows_what_there_was() {
    let server = server();
    for (name, code, count) in [("INT", 130, 1), ("TERM", 143, 2), ("HUP", 129, 3)] {
        let child = shell::start(&["run", "--url", &server.address, "-l", "python", "-c", "hold"]);
        server.backend.wait_for(&Status::Running, 1);
        signal(&child, name);
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.out.as_str()), (code, "partial"), "{}", ended.err);
        server.backend.wait_for(&Status::Cancelled, count);
    }
}

#[test]
fn keys_come_from_options_and_environment() {
    let server = start(keyed("bear,pub-1:sec-1"));
    let url = server.address.as_str();
    let ended = call(&["validate-key", "--url", url, "--key", "bear"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let ended =
        call(&["validate-key", "--url", url, "--public-key", "pub-1", "--secret-key", "sec-1"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let ended =
        unsandbox(&["jobs", "--url", url]).env("UNSANDBOX_API_KEY", "bear").output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let home = scratch("home");
    std::fs::create_dir(home.join(".unsandbox")).unwrap();
    std::fs::write(home.join(".unsandbox/accounts.csv"), "x,y\npub-1,sec-1\n").unwrap();
    for (row, code) in [("1", 0), ("0", 125), ("2", 2)] {
        let mut command = unsandbox(&["jobs", "--url", url, "--account", row]);
        assert_eq!(command.env("HOME", &home).output().unwrap().status.code(), Some(code), "{row}");
    }
    for (key, told, hint) in [
        (&[][..], "needs an API key", "UNSANDBOX_API_KEY"),
        (&["--key", "wrong"], "not known here", "UNSANDBOX_API_KEY"),
        (&["--public-key", "pub-1", "--secret-key", "bear"], "does not match", "are one pair"),
        (
            &["--public-key", "pub-2", "--secret-key", "sec-1"],
            "public key of this",
            "UNSANDBOX_API_KEY",
        ),
    ] {
        let ended = call(&[&["validate-key", "--url", url][..], key].concat());
        assert!(ended.code == 1 && ended.out.starts_with("not valid: "), "{ended:?}");
        assert!(ended.out.contains(told) && ended.err.contains(hint), "{ended:?}");
    }
    let none = call(&["validate-key"]);
    assert_eq!((none.code, none.out.contains("no key is needed")), (0, true), "{none:?}");
    let wrong = call(&["jobs", "--url", url, "--key", "wrong-key"]);
    assert_eq!(wrong.code, 125);
    assert!(wrong.err.contains("key") && !wrong.err.contains("wrong-key"), "{}", wrong.err);
}

#[test]
fn a_unix_socket_and_the_environment_are_endpoints() {
    let path = scratch("unix").join("sock");
    let server = start_at(&format!("unix:{}", path.display()), ServerOptions::default());
    let ended = unsandbox(&["run", "-l", "python", "-c", "hello"])
        .env("UNSANDBOX_URL", &server.address)
        .output()
        .unwrap();
    let ended = Ended::from(ended);
    // It does not leave this machine: nothing to say about it.
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "hello", ""));
}

#[test]
fn code_that_leaves_by_an_unnamed_endpoint_names_it() {
    // Nothing answers there; what matters is the line that came before.
    let ended = unsandbox(&["run", "-l", "python", "-c", "hello"])
        .env("UNSANDBOX_URL", "http://unsandbox.invalid:9")
        .output()
        .unwrap();
    let ended = Ended::from(ended);
    assert_eq!(ended.code, 125);
    assert!(
        ended.err.starts_with("unsandbox: runs at http://unsandbox.invalid:9"),
        "{}",
        ended.err
    );
}

#[test]
fn languages_and_health_are_tables_and_json() {
    let server = server();
    let url = server.address.as_str();
    let table = call(&["languages", "--url", url]).out;
    assert!(table.starts_with("NAME") && table.contains("\npython"), "{table}");
    // It says neither version nor path, so there are no columns of them.
    assert!(!table.contains("VERSION") && !table.contains(" -"), "{table}");
    let json = call(&["languages", "--url", url, "--json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["name"], "python");
    assert_eq!(call(&["health", "--url", url]).out, "ok\n");
    let nobody = call(&["health", "--url", "unix:/does/not/exist"]);
    assert_eq!(nobody.code, 125, "{}", nobody.err);
}
