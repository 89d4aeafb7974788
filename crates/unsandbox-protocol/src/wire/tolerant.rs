// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads replies of servers: JSON objects whose fields have any of their known names and types. A malformed value is not
//! an error; it counts as absent.

use crate::error::{Error, ErrorCode};
use crate::result::RawJson;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_core::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The fields of one object; reading takes them out, so that large strings are moved, not copied.
///
/// A list, because each field is searched once: hashing all of them takes longer than the searches.
pub(super) struct Fields {
    list: Vec<(String, Value)>,
}

impl Fields {
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Fields { list: map.into_iter().collect() }
    }

    /// The value of a field; the last one, if several have this name.
    fn get(&self, key: &str) -> Option<&Value> {
        self.list.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Takes the value of a field if it is as wanted, and leaves null in its place.
    fn take_if(&mut self, key: &str, wanted: impl FnOnce(&Value) -> bool) -> Option<Value> {
        let (_, value) = self.list.iter_mut().rev().find(|(name, _)| name == key)?;
        wanted(value).then(|| value.take())
    }

    /// The value of the first of `keys` that is present and not null.
    pub(super) fn take(&mut self, keys: &[&str]) -> Option<Value> {
        keys.iter().find_map(|key| self.take_if(key, |value| !value.is_null()))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| !value.is_null())
    }

    /// Text, or a scalar as text.
    pub(super) fn text(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.take(&[key]).and_then(text))
    }

    /// As [`Fields::text`]; empty counts as absent.
    pub(super) fn word(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(&[key]).filter(|text| !text.is_empty()))
    }

    pub(super) fn integer(&mut self, keys: &[&str]) -> Option<i64> {
        keys.iter().find_map(|key| self.take(&[key]).as_ref().and_then(integer))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.take(&[key])? {
            Value::Bool(value) => Some(value),
            Value::Number(number) => number.as_f64().map(|value| value != 0.0),
            Value::String(word) if word.eq_ignore_ascii_case("true") || word == "1" => Some(true),
            Value::String(word) if word.eq_ignore_ascii_case("false") || word == "0" => Some(false),
            _ => None,
        }
    }

    /// Unix seconds from a number, a numeric string or an RFC 3339 time.
    pub(super) fn time(&mut self, keys: &[&str]) -> Option<i64> {
        keys.iter().find_map(|key| {
            let value = self.take(&[key])?;
            integer(&value).or_else(|| {
                let time: jiff::Timestamp = value.as_str()?.trim().parse().ok()?;
                Some(time.as_second())
            })
        })
    }

    pub(super) fn object(&mut self, key: &str) -> Option<Fields> {
        match self.take_if(key, Value::is_object)? {
            Value::Object(map) => Some(Fields::new(map)),
            _ => None,
        }
    }

    pub(super) fn array(&mut self, keys: &[&str]) -> Option<Vec<Value>> {
        keys.iter().find_map(|key| match self.take_if(key, Value::is_array)? {
            Value::Array(items) => Some(items),
            _ => None,
        })
    }

    /// The strings of an array; what is not text is left out.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        self.array(&[key]).unwrap_or_default().into_iter().filter_map(text).collect()
    }

    /// All fields whose values are text.
    pub(super) fn into_texts(self) -> Vec<(String, String)> {
        self.list.into_iter().filter_map(|(key, value)| Some((key, text(value)?))).collect()
    }

    /// All fields whose values are numbers of at least 0.
    pub(super) fn into_counts(self) -> Vec<(String, u64)> {
        let count = |value: &Value| integer(value)?.try_into().ok();
        self.list.into_iter().filter_map(|(key, value)| Some((key, count(&value)?))).collect()
    }

    /// Bytes from base64; `None` if it is malformed.
    pub(super) fn base64(&mut self, keys: &[&str]) -> Option<Vec<u8>> {
        keys.iter().find_map(|key| match self.get(key) {
            Some(Value::String(text)) => decode_base64(text),
            _ => None,
        })
    }

    /// Takes over the fields of `inner`; where both have a value, the inner one wins.
    pub(super) fn merge(&mut self, inner: Fields) {
        self.list.extend(inner.list.into_iter().filter(|(_, value)| !value.is_null()));
    }

    pub(super) fn object_is_there(&self, key: &str) -> bool {
        self.get(key).is_some_and(Value::is_object)
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
        }
        _ => None,
    }
}

fn whole(value: f64) -> Option<i64> {
    // Beyond 2^53 a float is no longer one integer.
    (value.abs() < 9_007_199_254_740_992.0).then_some(value as i64)
}

/// Standard base64, with or without padding and line breaks.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        return ENGINE.decode(compact).ok();
    }
    ENGINE.decode(text).ok()
}

/// Reads an object, field by field.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields;

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Fields, A::Error> {
        let mut list = Vec::with_capacity(FIELDS_USUAL);
        while let Some(field) = fields.next_entry()? {
            list.push(field);
        }
        Ok(Fields { list })
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
}

/// The number of fields of a result.
const FIELDS_USUAL: usize = 16;

/// The kinds of a reply.
pub(super) enum Content {
    Object(Fields),
    Other(Value),
}

impl Content {
    fn parse(text: &str) -> serde_json::Result<Content> {
        if !text.trim_start().starts_with('{') {
            return serde_json::from_str(text).map(Content::Other);
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let fields = reader.deserialize_map(Object)?;
        reader.end().map(|()| Content::Object(fields))
    }
}

/// A reply that could be read as JSON.
pub(super) struct Reply {
    pub(super) content: Content,
    pub(super) raw: RawJson,
}

impl Reply {
    /// Reads a reply's bytes; PROTOCOL if they are not JSON.
    pub(super) fn read(body: Cow<'_, [u8]>) -> Result<Reply, Error> {
        let text = text_of(body);
        let content = Content::parse(&text).or_else(|error| {
            match mend_surrogates(&text) {
                Cow::Borrowed(_) => Err(error),
                Cow::Owned(mended) => Content::parse(&mended),
            }
            .map_err(|error| unreadable(text.as_bytes(), error))
        })?;
        Ok(Reply { content, raw: text.into() })
    }

    /// Reads a reply that has to be an object.
    pub(super) fn object(body: Cow<'_, [u8]>) -> Result<(Fields, RawJson), Error> {
        match Reply::read(body)? {
            Reply { content: Content::Object(fields), raw } => Ok((fields, raw)),
            Reply { raw, .. } => Err(malformed("an object", raw.as_bytes())),
        }
    }
}

/// A body as text, without a byte-order mark; an owned one is not copied.
fn text_of(body: Cow<'_, [u8]>) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = match body {
        Cow::Borrowed(bytes) => lossy(bytes),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).unwrap_or_else(|error| lossy(error.as_bytes()))
        }
    };
    let marks = text.len() - text.trim_start_matches('\u{feff}').len();
    text.drain(..marks);
    text
}

fn unreadable(body: &[u8], cause: serde_json::Error) -> Error {
    let what = if body.is_empty() { "the reply is empty" } else { "the reply is not JSON" };
    Error::new(ErrorCode::Protocol, what).with_body(body).with_cause(cause)
}

/// The error PROTOCOL for JSON of another kind than expected.
pub(super) fn malformed(expected: &str, body: &[u8]) -> Error {
    Error::new(ErrorCode::Protocol, format!("the reply is not {expected}")).with_body(body)
}

/// Replaces `\uD800`–`\uDFFF` escapes that have no partner by `\uFFFD`: a program's output may hold them.
fn mend_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let unit = |at: usize| -> Option<u16> {
        (bytes.get(at) == Some(&b'\\') && bytes.get(at + 1) == Some(&b'u')).then_some(())?;
        u16::from_str_radix(text.get(at + 2..at + 6)?, 16).ok()
    };
    let mut mended: Option<String> = None;
    let (mut at, mut kept) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                let out = mended.get_or_insert_default();
                out.push_str(&text[kept..at]);
                out.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            // Any other escape; the second `\` of `\\` must not start a new one.
            _ => at += 2,
        }
    }
    match mended {
        Some(mut out) => {
            out.push_str(text.get(kept..).unwrap_or_default());
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lone_surrogates_do_not_lose_the_reply() {
        let body = br#"{"a":"\ud800x\\ud800\ud83d\ude00\udc00"}"#;
        let (mut fields, _) = Reply::object(body[..].into()).unwrap();
        assert_eq!(fields.text(&["a"]).unwrap(), "\u{fffd}x\\ud800\u{1F600}\u{fffd}");
        for body in [&br#""\u"#[..], br#""\ud8"#, br#""\"#, b"\"\\u00\xff"] {
            assert!(Reply::read(body.into()).is_err());
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let body = b"\xef\xbb\xbf{\"a\":\"\xff\"}";
        for body in [Cow::Borrowed(&body[..]), Cow::Owned(body.to_vec())] {
            let (mut fields, raw) = Reply::object(body).unwrap();
            assert_eq!(fields.text(&["a"]).unwrap(), "\u{fffd}");
            assert_eq!(&*raw, "{\"a\":\"\u{fffd}\"}");
        }
    }

    #[test]
    fn the_last_of_several_fields_with_one_name_counts() {
        let read = |body: &str| Reply::object(body.as_bytes().into()).unwrap().0;
        let mut fields = read(r#"{"a":1,"b":2,"a":3,"b":null}"#);
        assert!(fields.has("a") && !fields.has("b"));
        assert_eq!(fields.integer(&["b", "a"]), Some(3));
        assert_eq!(fields.integer(&["a", "b"]), None, "each is there once");
        let mut fields = read(r#"{"a":1,"b":2}"#);
        fields.merge(read(r#"{"a":4,"b":null}"#));
        assert_eq!((fields.integer(&["a"]), fields.integer(&["b"])), (Some(4), Some(2)));
    }

    #[test]
    fn scalars_are_read_as_numbers_and_as_strings() {
        let read = |value: Value| {
            let Value::Object(map) = json!({ "k": value }) else { unreachable!() };
            Fields::new(map)
        };
        for value in [json!(7), json!(7.0), json!("7"), json!(" 7 "), json!("7.0")] {
            assert_eq!(read(value).integer(&["x", "k"]), Some(7));
        }
        for value in [json!(null), json!("x"), json!([7]), json!(1e300), json!(true)] {
            assert_eq!(read(value).integer(&["k"]), None);
        }
        assert_eq!(read(json!("2024-01-15T10:30:00Z")).time(&["k"]), Some(1_705_314_600));
        assert_eq!(read(json!("2024-01-15T11:30:00.25+01:00")).time(&["k"]), Some(1_705_314_600));
        assert_eq!(read(json!("1705314600")).time(&["k"]), Some(1_705_314_600));
        assert_eq!(read(json!("yesterday")).time(&["k"]), None);
        assert_eq!(read(json!("False")).boolean("k"), Some(false));
        assert_eq!(read(json!(1)).boolean("k"), Some(true));
        assert_eq!(read(json!({})).boolean("k"), None);
    }

    #[test]
    fn base64_is_read_with_and_without_padding_and_line_breaks() {
        for text in ["aGk=", "aGk", "aG\nk=", " aGk=\r\n"] {
            assert_eq!(decode_base64(text).unwrap(), b"hi", "{text:?}");
        }
        for text in ["a", "äh", "a-_=", "aGk=x"] {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
    }
}
