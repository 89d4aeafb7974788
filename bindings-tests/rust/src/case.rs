// SPDX-License-Identifier: MIT OR Apache-2.0
//! One case, read from its lines.

use std::time::Duration;
use unsandbox::{
    Client, ClientBuilder, Error, InputFile, IsolationPolicy, Limits, Offsets, Request, Rerun,
};

#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub operation: String,
    pub request: Request,
    pub settings: Vec<(String, String)>,
    /// Cases with the same settings share a client.
    pub settings_text: String,
    pub timeout: Option<Duration>,
    pub cancel_after: Option<Duration>,
    pub close: bool,
    pub submit: Option<String>,
    pub until: String,
    pub settle: Duration,
    pub job_id: String,
    pub from: Offsets,
    pub page_limit: Option<usize>,
    pub page_after: Option<String>,
}

impl Case {
    pub fn parse(lines: &[String]) -> Case {
        let mut case = Case {
            name: String::new(),
            operation: String::new(),
            request: Request::detect(""),
            settings: Vec::new(),
            settings_text: String::new(),
            timeout: None,
            cancel_after: None,
            close: false,
            submit: None,
            until: String::new(),
            settle: Duration::ZERO,
            job_id: String::new(),
            from: Offsets::default(),
            page_limit: None,
            page_after: None,
        };
        for line in lines {
            let mut words = line.split(' ');
            let key = words.next().unwrap_or_default();
            let values: Vec<Vec<u8>> = words.map(decode).collect();
            if key == "set" {
                case.settings_text += line;
            }
            case.take(key, &values);
        }
        case
    }

    fn take(&mut self, key: &str, values: &[Vec<u8>]) {
        let text = |index: usize| String::from_utf8(values[index].clone()).expect("UTF-8");
        let number = || text(0).parse::<u64>().expect("a number");
        let request = &mut self.request;
        match key {
            "case" => self.name = text(0),
            "do" => self.operation = text(0),
            "set" => self.settings.push((text(0), text(1))),
            "timeout_ms" => self.timeout = Some(Duration::from_millis(number())),
            "cancel_after_ms" => self.cancel_after = Some(Duration::from_millis(number())),
            "close" => self.close = true,
            "submit" => self.submit = Some(text(0)),
            "until" => self.until = text(0),
            "settle_ms" => self.settle = Duration::from_millis(number()),
            "job_id" => self.job_id = text(0),
            "from" => self.from = text(0).parse().expect("a place in the output"),
            "page_limit" => self.page_limit = text(0).parse().ok(),
            "page_after" => self.page_after = Some(text(0)),
            "language" => request.language = Some(text(0)),
            "code" => request.code = text(0),
            "env" => request.env.push((text(0), text(1))),
            "network_mode" => request.network_mode = text(0),
            "ttl" => request.ttl = Some(text(0).parse().expect("an integer")),
            "return_artifact" => request.return_artifact = true,
            "return_wasm_artifact" => request.return_wasm_artifact = true,
            "file" => {
                let file = InputFile { filename: Some(text(0)), content: values[1].clone() };
                request.input_files.push(file);
            }
            "tree_file" => {
                let file = InputFile { filename: Some(text(0)), content: values[1].clone() };
                request.files.push(file);
            }
            "unnamed_file" => {
                let file = InputFile { filename: None, content: values[0].clone() };
                request.input_files.push(file);
            }
            "stdin" => request.stdin = Some(values[0].clone()),
            "flag" => request.flags.push(text(0)),
            "output" => request.outputs.push(text(0)),
            "arg" => request.args.push(text(0)),
            "limit" => {
                let mut limits: Limits = request.limits;
                assert!(limits.set(&text(0), text(1).parse().expect("a number")), "a limit");
                request.limits = limits;
            }
            "rerun" => request.rerun = Rerun::parse(&text(0)).unwrap_or_default(),
            "callback_url" => request.callback_url = Some(text(0)),
            "runtime" => request.runtime = Some(text(0)),
            other => panic!("no line of a case begins with {other:?}"),
        }
    }

    pub fn builder(&self) -> Result<ClientBuilder, Error> {
        let mut builder = Client::builder();
        let mut public_key = String::new();
        for (name, value) in &self.settings {
            let number = || value.parse::<u64>().expect("a number");
            builder = match name.as_str() {
                "base_url" => builder.base_url(value),
                "api_key" => builder.api_key(value),
                "public_key" => {
                    public_key.clone_from(value);
                    builder
                }
                "secret_key" => builder.key_pair(&public_key, value),
                "account" => builder.account(number() as usize),
                "accounts_file" => builder.accounts_file(value),
                "ca_file" => builder.ca_file(value),
                "allow_plain_http_key" => builder.allow_plain_http_key(true),
                "timeout_ms" => builder.timeout(Duration::from_millis(number())),
                "retries" => builder.retries(number() as u32),
                "reply_max_bytes" => builder.reply_max_bytes(number() as usize),
                "isolation" => builder.isolation(IsolationPolicy::require(value)?),
                "concurrency" => builder.concurrency(number() as usize),
                "queue_max" => builder.queue_max(number() as usize),
                other => panic!("no setting is called {other:?}"),
            };
        }
        Ok(builder)
    }
}

/// The bytes of a word: `%XX` is a byte, `%*N:` before the rest means it N times.
fn decode(word: &str) -> Vec<u8> {
    if let Some(rest) = word.strip_prefix("%*") {
        let (count, text) = rest.split_once(':').expect("N:");
        return decode(text).repeat(count.parse().expect("a number"));
    }
    let mut parts = word.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
