// SPDX-License-Identifier: MIT OR Apache-2.0
//! Percent-encoding: one segment of a path, and the query string of `/run`.

use crate::error::Error;
use crate::rules::shown;

/// Encodes everything but unreserved characters, so that the text is one path segment or query value.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |bits: u8| char::from(b"0123456789ABCDEF"[usize::from(bits)]);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// Decodes `%XX`; a `%` without two digits stands for itself. ARGUMENT if the bytes are not UTF-8.
pub fn percent_decode(text: &str) -> Result<String, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((16 * high + low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out)
        .map_err(|_| Error::argument(format!("{} does not decode to UTF-8 text", shown(text))))
}

/// The pairs of a query string, where `+` is a space as forms write it.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = Result<(String, String), Error>> {
    query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        Ok((decode(name)?, decode(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_a_segment() {
        assert_eq!(percent_encode("a/b?c#d%é ."), "a%2Fb%3Fc%23d%25%C3%A9%20.");
        assert_eq!(percent_decode("a%2Fb%3fc%23d%25%C3%A9%20.").unwrap(), "a/b?c#d%é .");
        assert_eq!(percent_decode("100%").unwrap(), "100%");
        assert_eq!(percent_decode("%zz%4").unwrap(), "%zz%4");
        assert!(percent_decode("%ff").is_err());
    }

    #[test]
    fn pairs_of_a_query() {
        let pairs: Vec<_> = pairs("?a=1+2&b&c=%2B&&d=e=f").map(Result::unwrap).collect();
        let expected = [("a", "1 2"), ("b", ""), ("c", "+"), ("d", "e=f")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }
}
