// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests as bytes, and replies as they come.

use std::io::{Read, Write};

pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

pub fn execute_body(code: &str) -> String {
    format!("{{\"language\":\"python\",\"code\":{code:?}}}")
}

/// The bytes of a request whose connection is closed after the reply.
pub fn request(host: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn read_reply(stream: &mut dyn Wire) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_string() }
}

impl Reply {
    /// The value of a header of the head, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("{field}: {}", self.body)).to_string()
    }

    /// Asserts the status and the envelope of a refusal; gives its message.
    #[track_caller]
    pub fn refused(&self, status: u16, word: &str) -> String {
        assert_eq!((self.status, self.text("error").as_str()), (status, word), "{self:?}");
        assert_eq!(self.json()["success"], false);
        let mut rows = unsandbox_protocol::openapi::refusals().into_iter();
        let is_described = rows.any(|row| (row.http_status, row.wire) == (status, word));
        assert!(is_described, "{status} {word} is not in the OpenAPI document");
        assert!(self.head.contains("x-unsandbox-features: run-json, idempotency=process:"));
        self.text("message")
    }
}
