// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes compact JSON. Existing clients search replies as text: no space after a colon, raw UTF-8, and
//! no escapes but `\" \\ \n \r \t \u00XX` (serde_json also writes `\b` and `\f`, which they garble).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::{Display, Write as _};

/// The escapes of control characters, precomputed: a program may write megabytes of them.
#[rustfmt::skip]
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
    "\\u0008", "\\t", "\\n", "\\u000b", "\\u000c", "\\r", "\\u000e", "\\u000f", "\\u0010",
    "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018",
    "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

/// Bytes of a text between its quotes.
pub(super) fn escaped_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => CONTROLS[usize::from(byte)].len(),
            _ => 1,
        })
        .sum()
}

#[derive(Default)]
pub(super) struct Writer {
    out: String,
}

impl Writer {
    /// One whole document: an object.
    pub(super) fn document(fields: impl FnOnce(&mut Writer)) -> String {
        Self::document_of(0, fields)
    }

    /// A document of about so many bytes, which are allocated at once so that a large one is not copied as it grows.
    pub(super) fn document_of(bytes: usize, fields: impl FnOnce(&mut Writer)) -> String {
        let mut writer = Writer { out: String::with_capacity(bytes) };
        writer.braces(fields);
        writer.out
    }

    /// No value ends in an opening bracket, so the last byte tells whether a comma is due.
    fn separate(&mut self) {
        if !matches!(self.out.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(',');
        }
    }

    fn string(&mut self, text: &str) {
        self.out.reserve(text.len() + 2);
        self.out.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.push_str(&text[plain..at]);
            plain = at + 1;
            match byte {
                b'"' => self.out.push_str("\\\""),
                b'\\' => self.out.push_str("\\\\"),
                control => self.out.push_str(CONTROLS[usize::from(control)]),
            }
        }
        self.out.push_str(&text[plain..]);
        self.out.push('"');
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.string(key);
        self.out.push(':');
    }

    fn braces(&mut self, fields: impl FnOnce(&mut Writer)) {
        self.out.push('{');
        fields(self);
        self.out.push('}');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    pub(super) fn text_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn text_if(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn base64(&mut self, key: &str, bytes: &[u8]) {
        self.key(key);
        self.out.push('"');
        STANDARD.encode_string(bytes, &mut self.out);
        self.out.push('"');
    }

    pub(super) fn number(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.out, "{value}");
    }

    pub(super) fn number_if(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    pub(super) fn number_or_null(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.number(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.number(key, value);
    }

    pub(super) fn null(&mut self, key: &str) {
        self.number(key, "null");
    }

    pub(super) fn object(&mut self, key: &str, fields: impl FnOnce(&mut Writer)) {
        self.key(key);
        self.braces(fields);
    }

    /// An array of strings.
    pub(super) fn texts<T: AsRef<str>>(&mut self, key: &str, items: impl IntoIterator<Item = T>) {
        self.key(key);
        self.out.push('[');
        for item in items {
            self.separate();
            self.string(item.as_ref());
        }
        self.out.push(']');
    }

    /// An array of objects.
    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fields: impl FnMut(&mut Writer, T),
    ) {
        self.key(key);
        self.out.push('[');
        for item in items {
            self.separate();
            self.braces(|writer| fields(writer, item));
        }
        self.out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_the_ones_that_old_clients_read() {
        let text = "\"\\\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}é/\u{1F600}";
        let out = Writer::document(|w| w.text("k", text));
        let escaped = "\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\u{7f}é/\u{1F600}";
        assert_eq!(out, format!("{{\"k\":\"{escaped}\"}}"));
        assert_eq!(escaped_len(text), escaped.len());
        let back: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(back["k"], text);
    }

    #[test]
    fn commas_stand_between_values_only() {
        let out = Writer::document(|w| {
            w.text("a", "{[:");
            w.object("b", |w| w.null("c"));
            w.objects("d", [1, 2], |w, n| w.number("n", n));
            w.texts("e", ["[", "x"]);
            w.texts("f", [""; 0]);
            w.boolean("g", true);
        });
        let expected =
            r#"{"a":"{[:","b":{"c":null},"d":[{"n":1},{"n":2}],"e":["[","x"],"f":[],"g":true}"#;
        assert_eq!(out, expected);
    }
}
