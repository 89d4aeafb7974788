// SPDX-License-Identifier: MIT OR Apache-2.0
//! Percent-encoding: one segment of a path, and the query string of `/run`.

use crate::error::Error;
use crate::page::{Page, wrong_limit};
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

/// Reads `limit` and `after` of the query of `GET /jobs`; other names are ignored.
pub fn decode_page(query: &str) -> Result<Page, Error> {
    let mut page = Page::default();
    for pair in pairs(query) {
        let (name, value) = pair?;
        match name.as_str() {
            "limit" => page.limit = Some(value.parse().map_err(|_| wrong_limit(&value))?),
            "after" => page.after = Some(value),
            _ => {}
        }
    }
    page.check()?;
    Ok(page)
}

/// The path of `GET /jobs` with the query that [`decode_page`] reads.
pub fn encode_page(page: &Page) -> String {
    let limit = page.limit.map(|limit| format!("limit={limit}"));
    let after = page.after.as_ref().map(|after| format!("after={}", percent_encode(after)));
    let query: Vec<String> = limit.into_iter().chain(after).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/jobs{mark}{}", query.join("&"))
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
    fn a_page_comes_back_from_its_query() {
        let page = |limit, after: Option<&str>| Page { limit, after: after.map(str::to_string) };
        for (page, path) in [
            (page(None, None), "/jobs"),
            (page(Some(7), None), "/jobs?limit=7"),
            (page(None, Some("a&b=c/ d")), "/jobs?after=a%26b%3Dc%2F%20d"),
            (page(Some(1_000), Some("j")), "/jobs?limit=1000&after=j"),
        ] {
            assert_eq!(encode_page(&page), path);
            let query = path.strip_prefix("/jobs").unwrap();
            assert_eq!(decode_page(query).unwrap(), page);
        }
        assert_eq!(decode_page("x=1&limit=2&limits=9").unwrap(), page(Some(2), None));
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=1.5", "limit=", "limit=ten"] {
            let error = decode_page(wrong).unwrap_err();
            assert!(error.message().contains("from 1 to 1000"), "{wrong}: {error}");
        }
        assert!(decode_page("after=").is_err() && decode_page("after=%ff").is_err());
    }

    #[test]
    fn pairs_of_a_query() {
        let pairs: Vec<_> = pairs("?a=1+2&b&c=%2B&&d=e=f").map(Result::unwrap).collect();
        let expected = [("a", "1 2"), ("b", ""), ("c", "+"), ("d", "e=f")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }
}
