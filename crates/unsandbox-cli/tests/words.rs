// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a terminal obeys is escaped in every text that is not the program's own output: here a server puts it
//! into each of its words, and a program into its file names.

mod shell;

use serde_json::{Value, json};
use shell::{Ended, call, scratch, start, unsandbox};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Sets the title, clears the screen, turns the direction of text, and begins a line of its own.
const HOSTILE: &str = "A\u{1b}]0;t\u{7}\u{9b}2J\u{7f}\u{202e}\u{2066}\u{2028}\r\nunsandbox: forged";

/// A server that answers every request with what `reply` gives for its method and path.
fn server(reply: fn(&str) -> (u16, Value)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap(), reply));
        }
    });
    url
}

fn serve(mut stream: TcpStream, reply: fn(&str) -> (u16, Value)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
            if line == "\r\n" {
                break;
            }
            lines.push(line.to_ascii_lowercase());
        }
        let len = lines.iter().find_map(|line| line.strip_prefix("content-length:"));
        let len = len.map_or(0, |len| len.trim().parse::<u64>().unwrap());
        std::io::copy(&mut reader.by_ref().take(len), &mut std::io::sink()).ok()?;
        let (status, body) = reply(&lines[0]);
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}

/// Every word of these replies is hostile.
fn hostile_words(request: &str) -> (u16, Value) {
    let isolation = json!({ "level": HOSTILE, "layers": [HOSTILE], "missing": [HOSTILE] });
    let result = json!({
        "success": false, "status": "failed", "job_id": HOSTILE, "exit_code": 3, "stdout": "", "stderr": "",
        "error": HOSTILE, "language": HOSTILE, "isolation": isolation,
        "artifacts": [{ "filename": format!("d/{HOSTILE}"), "type": HOSTILE, "content_base64": "eA==" }],
    });
    let job = json!({
        "job_id": HOSTILE, "status": "failed", "language": HOSTILE, "created_at": 1, "result": result,
    });
    let reply = if request.contains("/languages") {
        json!({ "languages": [HOSTILE], "count": 1, "aliases": { HOSTILE: HOSTILE } })
    } else if request.contains("/validate") {
        json!({ "valid": true, "tier": HOSTILE })
    } else if request.contains("/usage") {
        let limits = json!({ "network_mode": HOSTILE, "languages": [HOSTILE] });
        json!({ "key": HOSTILE, "running": 0, "runs": { HOSTILE: 1 }, "limits": limits })
    } else if request.contains("/health") {
        json!({ "status": HOSTILE })
    } else if request.starts_with("get /jobs ") {
        json!({ "jobs": [{ "job_id": HOSTILE, "status": HOSTILE, "language": HOSTILE }], "count": 1 })
    } else if request.contains("/async") {
        json!({ "job_id": HOSTILE, "status": "pending" })
    } else {
        job
    };
    (200, reply)
}

fn refused(_: &str) -> (u16, Value) {
    (422, json!({ "error": HOSTILE, "message": HOSTILE }))
}

/// Nothing but the line ends that the command itself writes.
fn assert_harmless(what: &[&str], ended: &Ended) {
    for text in [&ended.out, &ended.err] {
        let obeyed =
            |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{2028}".contains(c);
        assert!(!text.contains(obeyed), "{what:?}: {text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("unsandbox: forged")),
            "{what:?}: {text:?}"
        );
    }
}

const COMMANDS: &[&[&str]] = &[
    &["run", "-v", "-l", "python", "-c", "1"],
    &["run", "--async", "-l", "python", "-c", "1"],
    &["jobs"],
    &["job", "x"],
    &["wait", "x"],
    &["cancel", "x"],
    &["languages"],
    &["validate-key"],
    &["usage"],
    &["health"],
];

#[test]
fn no_word_of_a_server_reaches_the_terminal_as_it_is() {
    for url in [server(hostile_words), server(refused)] {
        for command in COMMANDS {
            for more in [&["--url", &url][..], &["--url", &url, "--json"]] {
                let args = [*command, more].concat();
                let ended = call(&args);
                assert_harmless(&args, &ended);
                let is_told = [&ended.out, &ended.err]
                    .iter()
                    .any(|text| text.contains("\\u{1b}]0;t") || text.contains("\\u001b]0;t"));
                assert!(is_told, "{args:?}: {ended:?}");
            }
        }
    }
}

#[test]
fn json_keeps_its_meaning() {
    let url = server(hostile_words);
    let ended = call(&["health", "--json", "--url", &url]);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["status"], HOSTILE);
}

#[test]
fn names_of_artifacts_are_told_in_one_line() {
    let url = server(hostile_words);
    let directory = scratch("words");
    let args = ["run", "-v", "-l", "python", "-c", "1", "--url", &url, "--artifacts"];
    let args = [&args[..], &[directory.to_str().unwrap()]].concat();
    let ended = call(&args);
    assert_harmless(&args, &ended);
    assert!(ended.err.contains("saved "), "{}", ended.err);
}

#[test]
fn names_of_files_and_arguments_are_escaped_too() {
    for args in [
        &["run", HOSTILE][..],
        &["run", "-l", HOSTILE, "-c", "1"],
        &["run", "-l", "bash", "-c", "1", "-f", HOSTILE],
        &["run", "-l", "bash", "-c", "1", "--runtime", HOSTILE],
        &["run", "-l", "bash", "-c", "1", "--isolation", "\u{1b}[2J"],
        &["run", "-l", "bash", "-c", "1", "--limit", "\u{9b}2J=1"],
        &["\u{1b}[2J"],
        &["\u{1b}[2J.py"],
        &["health", "--url", HOSTILE],
        &["serve", "--listen", HOSTILE],
        &["serve", "--keys", HOSTILE],
    ] {
        let ended = call(args);
        assert_harmless(args, &ended);
        assert!(ended.code != 0 && ended.err.contains("\\u{"), "{args:?}: {ended:?}");
    }
    let refused = unsandbox(&["health"]).env("UNSANDBOX_URL", HOSTILE).output().unwrap();
    assert_harmless(&["UNSANDBOX_URL"], &refused.into());
}

#[test]
fn the_output_of_the_program_is_its_own() {
    let code = "printf '\\033[1mbold\\033[0m\\r\\n'";
    let ended = call(&["run", "-l", "bash", "-c", code]);
    assert_eq!(ended.out, "\u{1b}[1mbold\u{1b}[0m\r\n");
}

#[test]
fn a_line_of_the_log_of_serve_stays_one_line() {
    let mut child = start(&["serve", "--listen", "127.0.0.1:0", "--isolation", "auto", "-v"]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.to_string();
    for path in ["/jobs/%1b%5d0;x", "/\u{9b}2J", "/a\u{1b}[2J\u{7f}"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    shell::signal(&child, "TERM");
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    let ended = Ended { code: 0, out: String::new(), err: log };
    assert_harmless(&["serve"], &ended);
    assert!(ended.err.contains("/jobs/"), "{}", ended.err);
}
