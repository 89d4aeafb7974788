// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts keys into a request below the HTTP client, as its bytes are sent: that client logs all that it sends at trace
//! level, and keeps it in memory that is not wiped.

use std::ops::Range;
use std::sync::Arc;
use unsandbox_protocol::auth::Secret;
use ureq::http::{HeaderName, HeaderValue};

/// A header with a placeholder (asterisks) in place of its value until it is sent. Clones share the value.
#[derive(Clone, Debug)]
pub(super) struct Masked {
    name: HeaderName,
    value: Arc<Secret>,
    placeholder: HeaderValue,
}

impl Masked {
    pub(super) fn new(name: HeaderName, value: impl Into<String>) -> Self {
        let value = Secret::new(value);
        let placeholder = HeaderValue::try_from("*".repeat(value.expose().len()));
        Masked {
            name,
            value: Arc::new(value),
            placeholder: placeholder.expect("stars are no control characters"),
        }
    }

    /// The header as the HTTP client gets it, with an asterisk for each byte of the value.
    pub(super) fn header(&self) -> (&HeaderName, &HeaderValue) {
        (&self.name, &self.placeholder)
    }

    /// The place of the value in `head`, which consists of whole lines of a request's head.
    fn place(&self, head: &[u8]) -> Option<Range<usize>> {
        let mut start = 0;
        let name = self.name.as_str().as_bytes();
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            let value = start + name.len() + ": ".len();
            let end = start + line.len().saturating_sub("\r\n".len());
            let named = line.get(..name.len()).is_some_and(|written| {
                written.eq_ignore_ascii_case(name) && line[name.len()..].starts_with(b": ")
            });
            if named && end.checked_sub(value) == Some(self.value.expose().len()) {
                return Some(value..end);
            }
            start += line.len();
        }
        None
    }
}

/// Replaces the placeholders in `output` by the values, and removes these headers from `masked`. Returns their places,
/// for [`hide`].
pub(super) fn reveal(output: &mut [u8], masked: &mut Vec<Masked>) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    masked.retain(|header| match header.place(output) {
        Some(place) => {
            output[place.clone()].copy_from_slice(header.value.expose().as_bytes());
            places.push(place);
            false
        }
        None => true,
    });
    places
}

/// Overwrites the values that [`reveal`] has put there.
pub(super) fn hide(output: &mut [u8], places: &[Range<usize>]) {
    places.iter().for_each(|place| output[place.clone()].fill(b'*'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::http::header::AUTHORIZATION;

    const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

    #[test]
    fn only_the_values_of_masked_headers_are_replaced() {
        let mut masked =
            vec![Masked::new(AUTHORIZATION, "Bearer key"), Masked::new(SIGNATURE, "abcd")];
        assert_eq!(masked[0].header(), (&AUTHORIZATION, &HeaderValue::from_static("**********")));
        assert!(!format!("{masked:?}").contains("key"));
        let before = b"POST /?authorization: ********** HTTP/1.1\r\nhost: h\r\nauthorization: **********\r\n";
        let mut output = before.to_vec();
        let places = reveal(&mut output, &mut masked);
        let after = b"POST /?authorization: ********** HTTP/1.1\r\nhost: h\r\nauthorization: Bearer key\r\n";
        assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(after));
        assert_eq!(masked.len(), 1, "the other one comes with the next bytes");
        hide(&mut output, &places);
        assert_eq!(output, before);

        let mut output = b"x-signature: ****\r\n\r\n{\"body\":\"x-signature: ****\"}".to_vec();
        reveal(&mut output, &mut masked);
        assert!(output.starts_with(b"x-signature: abcd\r\n\r\n{\"body\":\"x-signature: ****"));
        assert!(masked.is_empty() && reveal(&mut output, &mut masked).is_empty());
    }
}
