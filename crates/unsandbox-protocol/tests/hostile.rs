// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every decoder against bytes that make no sense: none may panic, and what is read keeps its promises.
//! The inputs are real messages, cut, spliced and bitten by a small generator with a fixed seed.
//! `UNSANDBOX_FUZZ_CASES` sets how many each reader gets; `make fuzz` sets a million.

use unsandbox_protocol::filename::safe_filename;
use unsandbox_protocol::wire::{self, Submitted};
use unsandbox_protocol::{Artifact, auth, detect};

/// What an ordinary test run can afford.
const CASES: u64 = 20_000;

fn cases() -> u64 {
    match std::env::var("UNSANDBOX_FUZZ_CASES") {
        Ok(count) => count.parse().expect("UNSANDBOX_FUZZ_CASES is a number"),
        Err(_) => CASES,
    }
}

/// xorshift64*: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn pick<'a>(&mut self, items: &[&'a [u8]]) -> &'a [u8] {
        items[self.below(items.len())]
    }
}

const SEEDS: [&[u8]; 9] = [
    br#"{"success":true,"stdout":"x\n","stderr":"","exit_code":0,"error":null,"language":"c","job_id":"j","status":"completed","artifacts":[{"filename":"../a","content_base64":"aGk="}],"total_time_ms":5,"usage":{"cpu_time_ms":1},"isolation":{"level":"full","layers":["a"],"missing":[]},"stdout_base64":"//8="}"#,
    br#"{"job_id":"j","status":"running","created_at":"2024-01-15T10:30:00Z","started_at":1.5,"result":{"success":false,"stdout":null}}"#,
    br#"{"jobs":[{"job_id":"j","status":"pending","submitted_at":"2024-01-15T10:30:00Z"},7],"count":1}"#,
    br#"{"languages":["c",{"id":"go"}],"aliases":{"golang":"go"},"details":[{"name":"c","available":true}]}"#,
    br#"{"valid":true,"tier":1,"error":{"code":"c","message":"m"},"reason":"expired"}"#,
    br#"{"language":"python","code":"print(1)","env":{"A":"1"},"ttl":60,"input_files":[{"filename":"f","content":"aGk="}],"args":["x"],"limits":{"processes":5},"stdin":"s"}"#,
    br#"ttl=5&env=%7B%22A%22%3A%221%22%7D&network_mode=zerotrust&return_artifact=true"#,
    b"unsb-pk-1,unsb-sk-1,comment\n# x\n\npk,sk\n",
    br#"{"success":false,"error":"invalid_request","message":"m","stderr":"","job_id":"j"}"#,
];

const BITES: [&[u8]; 26] = [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"1e308",
    b"99999999999999999999",
    b"-0.0",
    b"\"7\"",
    b"[]",
    b"{}",
    b"{\"result\":",
    b"[[[[",
    b"\\ud800",
    b"\\udc00",
    b"\\u0000",
    b"\\",
    b"\"",
    b",",
    b":",
    b"}",
    b"\xff",
    b"\xed\xa0\x80",
    b"\0",
    b"\xef\xbb\xbf",
    b"\"stdout\":5,",
    b"\"status\":\"done\",",
];

fn mutate(random: &mut Random, seeds: &[&[u8]], bites: &[&[u8]]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let bite = random.pick(bites);
                bytes.splice(at..at, bite.iter().copied());
            }
            2 => {
                let end = (at + random.below(12)).min(bytes.len());
                let bite = random.pick(bites);
                bytes.splice(at..end, bite.iter().copied());
            }
            3 => {
                let other = random.pick(seeds);
                let from = random.below(other.len());
                bytes.splice(at..at, other[from..].iter().copied());
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            _ => {
                // A value in place of another one keeps the JSON whole, and so gets deeper.
                if let Some(colon) =
                    bytes.iter().skip(at).position(|b| *b == b':').map(|i| i + at + 1)
                {
                    let end = bytes[colon..]
                        .iter()
                        .position(|b| b",}".contains(b))
                        .map_or(bytes.len(), |i| i + colon);
                    let bite = random.pick(bites);
                    bytes.splice(colon..end, bite.iter().copied());
                }
            }
        }
    }
    bytes
}

/// Whatever an artifact is called, it is saved under the last part of a path.
fn check_name(artifact: &Artifact) {
    let name = artifact.safe_filename();
    let is_path = name.contains(['/', '\\', '\0']) || name == "." || name == "..";
    assert!(!is_path && !name.is_empty() && name.len() <= 255, "{name:?}");
    for part in artifact.safe_components() {
        assert!(!part.starts_with(['.', '-']) && safe_filename(&part) == part, "{part:?}");
    }
}

fn feed(bytes: &[u8], status: u16) {
    if let Ok(result) = wire::decode_result(bytes, status) {
        let again = wire::encode_result(&result, wire::Shape::Compat);
        let mut back = wire::decode_result(again.as_bytes(), 200).expect("we read what we write");
        back.raw = result.raw.clone();
        // Bytes that were no text have become text or base64, and must not change again.
        assert_eq!(back.stdout, result.stdout);
        assert_eq!((back.exit_code, back.success), (result.exit_code, result.success));
        result.artifacts.iter().for_each(check_name);
    }
    if let Ok(Submitted::Job(job)) = wire::decode_submission_or_result(bytes, status) {
        assert!(!job.job_id.is_empty());
    }
    if let Ok(job) = wire::decode_job(bytes, status) {
        assert!(!job.status.is_terminal() || job.result.is_some(), "an end has a result");
        wire::encode_job(&job, wire::Shape::Compat);
        wire::encode_submitted(&job);
    }
    if let Ok(jobs) = wire::decode_jobs(bytes, status) {
        wire::encode_jobs(&jobs);
    }
    if let Ok(job) = wire::decode_cancelled(bytes, status, "id") {
        assert!(job.result.is_some());
        wire::encode_cancelled(&job, wire::Shape::Once);
    }
    if let Ok(incoming) = wire::decode_request(bytes) {
        let again = wire::encode_execute(&incoming.request);
        let back = wire::decode_request(again.as_bytes()).expect("a server reads what we write");
        assert_eq!(back.request, incoming.request);
        let _ = incoming.request.validate();
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = wire::decode_run(&text, Some("text/plain"), bytes);
    let _ = wire::decode_run(&text, Some("application/json"), bytes);
    let _ = wire::decode_languages(bytes, status).map(|list| wire::encode_languages(&list));
    let _ = wire::decode_usage(bytes, status).map(|usage| wire::encode_usage(&usage));
    let _ = wire::decode_key_info(bytes, status).map(|info| wire::encode_key_info(&info));
    let _ = wire::decode_health(bytes, status);
    let error = wire::decode_error(status.max(300), Some(&text), bytes);
    wire::encode_error(&error);
    for account in auth::parse_accounts(&text).unwrap_or_default() {
        assert!(!account.public_key.is_empty() && !account.secret_key.expose().is_empty());
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = Random(0x5EED);
    for seed in SEEDS {
        (0..=seed.len()).for_each(|end| feed(&seed[..end], 200));
    }
    for _ in 0..cases() {
        let status = [200, 201, 204, 302, 400, 401, 404, 429, 500][random.below(9)];
        feed(&mutate(&mut random, &SEEDS, &BITES), status);
    }
}

/// Gives `read` as many bitten `seeds` as a run has cases.
fn each(seed: u64, seeds: &[&[u8]], bites: &[&[u8]], read: impl Fn(&str)) {
    let mut random = Random(seed);
    for _ in 0..cases() {
        read(&String::from_utf8_lossy(&mutate(&mut random, seeds, bites)));
    }
}

#[test]
fn no_first_line_makes_the_reader_panic() {
    let seeds: &[&[u8]] = &[
        b"#!/usr/bin/env python3\nprint(1)\n",
        b"#!/usr/bin/env -S VAR=x deno run -A\n",
        b"\xef\xbb\xbf#!/bin/sh -e\r\necho\n",
        b"#!/usr/bin/perl5.36 -w",
        b"(println \"x\")",
    ];
    let bites: &[&[u8]] = &[
        b"#!",
        b"/",
        b"env",
        b" -u ",
        b"-S",
        b"=",
        b"\n",
        b"\r",
        b"\t",
        b"python3.11",
        b".exe",
        b"\0",
        b"\xff",
        "\u{feff}\u{2028}é".as_bytes(),
        b"--split-string=",
    ];
    each(0x5EED1, seeds, bites, |code| {
        let _ = detect::detect(code);
    });
}

#[test]
fn no_accounts_file_makes_the_reader_panic() {
    let seeds: &[&[u8]] = &[
        b"public_key,secret_key,comment\npk0,sk0\npk1,sk1,work, and play\n# no\n\n",
        b"\xef\xbb\xbfpk,sk\r\n",
    ];
    let bites: &[&[u8]] =
        &[b",", b"\n", b"\r\n", b"#", b"\"", b"\0", b" ", b"\xff", "\u{a0}é".as_bytes()];
    each(0x5EED2, seeds, bites, |file| {
        for account in auth::parse_accounts(file).unwrap_or_default() {
            assert!(!account.public_key.is_empty() && !account.secret_key.expose().is_empty());
        }
    });
}

#[test]
fn no_artifact_gets_a_name_that_is_a_path() {
    let seeds: &[&[u8]] = &[
        br#"{"success":true,"artifacts":[{"filename":"../../etc/passwd","content_base64":"aGk="}]}"#,
        br#"{"success":true,"artifact":{"name":"a/b\\c","data":"aG\nk","kind":"binary"}}"#,
        br#"{"success":true,"wasm_artifact":"AGFzbQ==","artifacts":[{"name":"x","url":"https://h/x"}]}"#,
        br#"{"success":true,"artifacts":["aGk",null,7,{"content":"!"},{"filename":"..","data":""}]}"#,
    ];
    let bites: &[&[u8]] = &[
        b"..",
        b"/",
        b"\\\\",
        b"\\u0000",
        b"\\n",
        b"=",
        b"CON",
        b"\"filename\":",
        b"\"data\":",
        b"{}",
        b",",
        "é\u{202e}".as_bytes(),
        b"\\ud800",
    ];
    each(0x5EED3, seeds, bites, |body| {
        if let Ok(result) = wire::decode_result(body.as_bytes(), 200) {
            result.artifacts.iter().for_each(check_name);
        }
    });
}

#[test]
fn no_retry_after_is_longer_than_a_day() {
    let seeds: &[&[u8]] = &[
        b"120",
        b"0.5",
        b"Wed, 21 Oct 2015 07:28:00 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"-1",
    ];
    let bites: &[&[u8]] = &[
        b"9999999999",
        b"e308",
        b"nan",
        b"inf",
        b" ",
        b"+0000",
        b"-",
        b":",
        b"60",
        b"9999",
        b"\0",
    ];
    each(0x5EED4, seeds, bites, |value| {
        for now in [0, 1_700_000_000, i64::MAX, i64::MIN] {
            let day = 24 * 3_600_000;
            assert!(wire::retry_after_ms(value, now).is_none_or(|ms| ms <= day), "{value:?}");
        }
    });
}
