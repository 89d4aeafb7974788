// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors on the wire: the envelope that our server sends, and the client's error for any refusal.

use super::json::Writer;
use super::tolerant::{Content, Fields, Reply, text};
use crate::error::{ERROR_TABLE, Error, ErrorCode};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The largest `Retry-After`; a longer one is reduced to this.
const RETRY_AFTER_MAX_MS: u64 = 24 * 3_600_000;

/// The envelope of a refusal. `stderr` is there for clients that show only that.
pub fn encode_error(error: &Error) -> String {
    Writer::document(|w| write_error(w, error))
}

pub(super) fn write_error(w: &mut Writer, error: &Error) {
    w.boolean("success", false);
    w.text("error", word_of_error(error));
    w.text("message", &error.to_string());
    w.text("stderr", "");
    w.text_if("job_id", error.job_id());
}

/// The word in the `error` field of its reply.
pub fn word_of_error(error: &Error) -> &str {
    match error.wire() {
        "" => ErrorCode::Internal.row().wire,
        word => word,
    }
}

/// The HTTP status with which a server reports an error.
pub fn status_of_error(error: &Error) -> u16 {
    match (error.http_status(), error.code().row().http_status) {
        (0, _) if error.wire() == "too_large" => 413,
        (0, 0) => 500,
        (0, status) | (status, _) => status,
    }
}

/// What a reply with a status outside 200–299 means; the server's own words become the message.
pub fn decode_error(http_status: u16, retry_after: Option<&str>, body: &[u8]) -> Error {
    let words = Words::read(body);
    let code = code_of(http_status, words.word.as_deref());
    let message =
        words.message.unwrap_or_else(|| format!("the server answered HTTP {http_status}"));
    let mut error = Error::new(code, message).with_http_status(http_status).with_body(body);
    if let Some(word) = words.word {
        error = error.with_wire(word);
    }
    if let Some(job_id) = words.job_id {
        error = error.with_job_id(job_id);
    }
    match retry_after.and_then(|value| retry_after_ms(value, now())) {
        Some(ms) => error.with_retry_after_ms(ms),
        None => error,
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// `Retry-After` in milliseconds from `now` (Unix seconds): seconds, or an HTTP date; capped at a day.
pub fn retry_after_ms(value: &str, now: i64) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        let usable = seconds.is_finite() && seconds >= 0.0;
        return usable.then(|| ((seconds * 1000.0) as u64).min(RETRY_AFTER_MAX_MS));
    }
    let seconds = http_date(value)?.saturating_sub(now).max(0);
    Some(u64::try_from(seconds).ok()?.saturating_mul(1000).min(RETRY_AFTER_MAX_MS))
}

/// A date as HTTP writes it, in Unix seconds.
pub fn http_date(value: &str) -> Option<i64> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    Some(date.as_second())
}

/// The row of the table for a status and the server's word for it.
fn code_of(http_status: u16, word: Option<&str>) -> ErrorCode {
    // Only our server uses these two words, which are more precise than the status.
    let named = ERROR_TABLE.iter().find(|row| Some(row.wire) == word).map(|row| row.code);
    if let Some(code @ (ErrorCode::LanguageUnavailable | ErrorCode::IsolationUnavailable)) = named {
        return code;
    }
    match http_status {
        400 | 413 => ErrorCode::Argument,
        401 => ErrorCode::Auth,
        403 => ErrorCode::Permission,
        404 => ErrorCode::NotFound,
        409 => ErrorCode::Conflict,
        422 if named == Some(ErrorCode::Argument) => ErrorCode::Argument,
        429 => ErrorCode::RateLimited,
        507 => ErrorCode::Store,
        402..=499 => ErrorCode::Api,
        500..=599 => ErrorCode::Server,
        _ => ErrorCode::Protocol,
    }
}

/// The contents of an error's body, in any of the known envelopes.
#[derive(Default)]
struct Words {
    word: Option<String>,
    message: Option<String>,
    job_id: Option<String>,
}

impl Words {
    fn read(body: &[u8]) -> Words {
        match Reply::read(body.into()) {
            Ok(Reply { content: Content::Object(fields), .. }) => Words::from_fields(fields),
            Ok(Reply { content: Content::Other(Value::String(text)), .. }) => {
                Words { message: Some(text), ..Words::default() }
            }
            _ => Words::default(),
        }
    }

    fn from_fields(mut fields: Fields) -> Words {
        let job_id = fields.word(&["job_id"]);
        let (word, sentence) = match fields.take(&["error"]) {
            Some(Value::Object(map)) => {
                let mut inner = Fields::new(map);
                (inner.word(&["code", "type"]), inner.word(&["message"]))
            }
            other => match other.and_then(text).filter(|text| !text.is_empty()) {
                Some(text) if is_word(&text) => (Some(text), None),
                text => (None, text),
            },
        };
        let word = word.or_else(|| fields.word(&["code"])).filter(|word| is_word(word));
        let message = fields
            .word(&["message", "detail", "reason"])
            .or(sentence)
            .or_else(|| word.as_ref().map(|word| format!("the server says {word:?}")));
        Words { word, message, job_id }
    }
}

/// A code rather than a sentence.
fn is_word(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
