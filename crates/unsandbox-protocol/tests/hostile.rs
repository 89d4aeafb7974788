// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every decoder against bytes that make no sense: none may panic, and what is read keeps its promises.
//! The inputs are real messages, cut, spliced and bitten by a small generator with a fixed seed.

use unsandbox_protocol::auth;
use unsandbox_protocol::wire::{self, Submitted};

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

fn mutate(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(&SEEDS).to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let bite = random.pick(&BITES);
                bytes.splice(at..at, bite.iter().copied());
            }
            2 => {
                let end = (at + random.below(12)).min(bytes.len());
                let bite = random.pick(&BITES);
                bytes.splice(at..end, bite.iter().copied());
            }
            3 => {
                let other = random.pick(&SEEDS);
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
                    let bite = random.pick(&BITES);
                    bytes.splice(colon..end, bite.iter().copied());
                }
            }
        }
    }
    bytes
}

fn feed(bytes: &[u8], status: u16) {
    if let Ok(result) = wire::decode_result(bytes, status) {
        let again = wire::encode_result(&result, wire::Shape::Compat);
        let mut back = wire::decode_result(again.as_bytes(), 200).expect("we read what we write");
        back.raw = result.raw.clone();
        // Bytes that were no text have become text or base64, and must not change again.
        assert_eq!(back.stdout, result.stdout);
        assert_eq!((back.exit_code, back.success), (result.exit_code, result.success));
        for artifact in &result.artifacts {
            let name = artifact.safe_filename();
            assert!(
                !name.is_empty()
                    && name.len() <= 255
                    && !name.contains(['/', '\\', '\0'])
                    && name != "..",
                "{name:?}"
            );
        }
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
    let _ = wire::decode_key_info(bytes, status).map(|info| wire::encode_key_info(&info));
    let _ = wire::decode_health(bytes, status);
    let error = wire::decode_error(status.max(300), Some(&text), bytes);
    wire::encode_error(&error);
    for account in auth::parse_accounts(&text) {
        assert!(!account.public_key.is_empty() && !account.secret_key.expose().is_empty());
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = Random(0x5EED);
    for seed in SEEDS {
        (0..=seed.len()).for_each(|end| feed(&seed[..end], 200));
    }
    for _ in 0..20_000 {
        let status = [200, 201, 204, 302, 400, 401, 404, 429, 500][random.below(9)];
        feed(&mutate(&mut random), status);
    }
}
