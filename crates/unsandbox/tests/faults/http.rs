// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of the connection and of HTTP itself, in the answer to a submission.

use crate::stub::{OK, Play, Stub, json, ok, with};
use crate::table::{Outcome, Row, end_of};
use unsandbox::Request;

fn raw(text: impl Into<Vec<u8>>) -> Play {
    Play::Raw(text.into())
}

pub fn head(extra: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}\r\n")
}

fn sized() -> String {
    format!("{}{OK}", head(&format!("Content-Length: {}\r\n", OK.len())))
}

fn gzip(content: &[u8]) -> Play {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    Play::Answer(200, vec!["Content-Encoding: gzip".into()], encoder.finish().unwrap())
}

/// Packed once: that takes longer than all the rest.
pub fn bomb() -> Play {
    static PACKED: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let packed = PACKED.get_or_init(|| match gzip(&vec![b' '; 100_000_000]) {
        Play::Answer(_, _, packed) => packed,
        _ => unreachable!("gzip answers"),
    });
    Play::Answer(200, vec!["Content-Encoding: gzip".into()], packed.clone())
}

fn redirect(status: u16, location: &str) -> Play {
    with(json(status, ""), &format!("Location: {location}"))
}

const LOST: &str = "CONNECT, may have run; 1";
const MENDED: &str = "answered; 2";
const SENSELESS: &str = "PROTOCOL, may have run; 1";
const FINE: &str = "answered; 1";

pub fn rows() -> Vec<Row> {
    let mut rows = connections();
    rows.extend(lengths());
    rows.extend(shapes());
    rows.extend(burdens());
    rows.extend(redirects());
    rows.extend(statuses());
    rows
}

fn connections() -> Vec<Row> {
    let row = Row::submission;
    vec![
        Row::own("kept-alive connection closed while idle", "answered; 2", closed_while_idle),
        row("closed after the request, without a word", || Play::Close, LOST, MENDED),
        row("reset after the request", || Play::Reset(vec![]), LOST, MENDED),
        row(
            "reset in the headers",
            || Play::Reset(b"HTTP/1.1 200 OK\r\nContent-Le".into()),
            LOST,
            MENDED,
        ),
        row(
            "reset in the body",
            || Play::Reset(format!("{}{{\"succ", head("Content-Length: 99\r\n")).into()),
            LOST,
            MENDED,
        ),
        row("half-closed before an answer", || Play::HalfClose(vec![]), LOST, MENDED),
        row("half-closed after the answer", || Play::HalfClose(sized().into()), FINE, FINE),
        row(
            "never answers, until the deadline",
            || Play::Hang,
            "TIMEOUT, may have run; 1",
            "TIMEOUT, may have run; 1",
        )
        .deadline(300),
        row(
            "one byte a second, until the deadline",
            || Play::Drip(sized().into()),
            "TIMEOUT, may have run; 1",
            "TIMEOUT, may have run; 1",
        )
        .deadline(1500),
        row(
            "stops in the body, until the deadline",
            || Play::Stall(format!("{}{{", head("Content-Length: 99\r\n")).into()),
            "TIMEOUT, may have run; 1",
            "TIMEOUT, may have run; 1",
        )
        .deadline(300),
    ]
}

fn closed_while_idle() -> Outcome {
    let stub = Stub::start(|_| raw(sized()));
    let client = crate::client_of(&stub.url).retries(0).build().unwrap();
    client.execute(&Request::new("python", "")).unwrap();
    stub.wait_gone();
    let end = client.execute(&Request::new("python", ""));
    // Two programs, each submitted once.
    Outcome { end: end_of(&end), submissions: stub.asked().len(), runs: stub.asked().len() - 1 }
}

/// How long the body is, as its head or its chunks say.
fn lengths() -> Vec<Row> {
    let row = Row::submission;
    vec![
        row(
            "Content-Length too short",
            || raw(sized().replace(&OK.len().to_string(), "20")),
            SENSELESS,
            SENSELESS,
        ),
        row(
            "Content-Length too long",
            || raw(sized().replace(&OK.len().to_string(), "999")),
            LOST,
            MENDED,
        ),
        row(
            "Content-Length that is not a number",
            || raw(head("Content-Length: x\r\n")),
            SENSELESS,
            SENSELESS,
        ),
        row(
            "chunked",
            || {
                raw(format!(
                    "{}{:x}\r\n{OK}\r\n0\r\n\r\n",
                    head("Transfer-Encoding: chunked\r\n"),
                    OK.len()
                ))
            },
            FINE,
            FINE,
        ),
        row(
            "chunks that are broken",
            || raw(format!("{}zz\r\n{OK}\r\n", head("Transfer-Encoding: chunked\r\n"))),
            SENSELESS,
            SENSELESS,
        ),
        row(
            "chunks that are cut",
            || raw(format!("{}ff\r\n{{\"success\"", head("Transfer-Encoding: chunked\r\n"))),
            LOST,
            MENDED,
        ),
        row("no length, ended by closing", || raw(format!("{}{OK}", head(""))), FINE, FINE),
    ]
}

/// What stands before the body, and in which packing that comes.
fn shapes() -> Vec<Row> {
    let row = Row::submission;
    vec![
        row("no Content-Type", || Play::Answer(200, vec![], OK.into()), FINE, FINE),
        row("HTTP/1.0", || raw(format!("HTTP/1.0 200 OK\r\n\r\n{OK}")), FINE, FINE),
        row(
            "100 Continue nobody asked for",
            || raw(format!("HTTP/1.1 100 Continue\r\n\r\n{}", sized())),
            FINE,
            FINE,
        ),
        row("no HTTP at all", || raw("SSH-2.0-OpenSSH\r\n\r\n"), SENSELESS, SENSELESS),
        row("gzip", || gzip(OK.as_bytes()), FINE, FINE),
        row("gzip that is not gzip", || with(ok(), "Content-Encoding: gzip"), SENSELESS, SENSELESS),
    ]
}

/// More than a client takes.
fn burdens() -> Vec<Row> {
    let row = Row::submission;
    vec![
        row(
            "gzip bomb of 100 MB",
            bomb,
            "TOO_LARGE, may have run; 1",
            "TOO_LARGE, may have run; 1",
        )
        .within(20_000),
        row(
            "64 KB of headers",
            || raw(format!("{}{OK}", head(&format!("X-Long: {}\r\n", "y".repeat(64 * 1024))))),
            SENSELESS,
            SENSELESS,
        ),
        row(
            "10,000 headers",
            || {
                let many: String = (0..10_000).map(|i| format!("X-{i}: y\r\n")).collect();
                raw(format!("{}{OK}", head(&many)))
            },
            SENSELESS,
            SENSELESS,
        ),
    ]
}

/// Whither a request with a key never goes.
fn redirects() -> Vec<Row> {
    let row = Row::submission;
    vec![
        row("redirect to itself", || redirect(307, "/execute"), "PROTOCOL; 1", "PROTOCOL; 1"),
        row(
            "redirect to another host",
            || redirect(307, "https://example.com/execute"),
            "PROTOCOL; 1",
            "PROTOCOL; 1",
        ),
        row(
            "redirect to http",
            || redirect(301, "http://example.com/execute"),
            "PROTOCOL; 1",
            "PROTOCOL; 1",
        ),
    ]
}

fn statuses() -> Vec<Row> {
    let row = Row::submission;
    let refused = |fault, play, code| Row::submission(fault, play, code, code);
    let failed = "SERVER, may have run; 1";
    vec![
        row("201", || json(201, OK), FINE, FINE),
        row("202", || json(202, OK), FINE, FINE),
        row("204 without a body", || Play::Answer(204, vec![], vec![]), SENSELESS, SENSELESS),
        refused("400", || json(400, r#"{"error":"invalid_request"}"#), "ARGUMENT; 1"),
        refused("401", || json(401, r#"{"error":"invalid_api_key"}"#), "AUTH; 1"),
        refused("403", || json(403, ""), "PERMISSION; 1"),
        refused("404", || json(404, ""), "NOT_FOUND; 1"),
        refused("409", || json(409, ""), "CONFLICT; 1"),
        refused("413", || json(413, ""), "ARGUMENT; 1"),
        refused(
            "422",
            || json(422, r#"{"error":"language_unavailable"}"#),
            "LANGUAGE_UNAVAILABLE; 1",
        ),
        row("429", || json(429, ""), "RATE_LIMITED; 4", MENDED),
        row(
            "429, Retry-After: 0",
            || with(json(429, ""), "Retry-After: 0"),
            "RATE_LIMITED; 4",
            MENDED,
        ),
        row(
            "429, Retry-After: 600",
            || with(json(429, ""), "Retry-After: 600"),
            "RATE_LIMITED; 1",
            "RATE_LIMITED; 1",
        ),
        row(
            "429, Retry-After that is a date gone by",
            || with(json(429, ""), "Retry-After: Thu, 01 Jan 2015 00:00:00 GMT"),
            "RATE_LIMITED; 4",
            MENDED,
        ),
        row("500", || json(500, r#"{"error":"internal"}"#), failed, MENDED),
        row("502 with HTML", || json(502, "<html>"), failed, MENDED),
        row("503", || json(503, ""), failed, MENDED),
        row("503, Retry-After: 0", || with(json(503, ""), "Retry-After: 0"), failed, MENDED),
        row(
            "503 of a server that says it is stopping, Retry-After: 0",
            || with(json(503, r#"{"error":"stopping"}"#), "Retry-After: 0"),
            "SERVER; 4",
            MENDED,
        ),
        row("504", || json(504, ""), failed, MENDED),
        row("522", || json(522, "error code: 522"), failed, MENDED),
    ]
}
