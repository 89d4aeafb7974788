// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys are put into a request below the HTTP client, as its bytes leave: that client writes whatever it
//! sends to the log at trace level, and keeps it in memory that nobody wipes.

use std::ops::Range;
use unsandbox_protocol::auth::Secret;

/// A header whose value stands as stars until it leaves.
#[derive(Debug)]
pub(super) struct Masked {
    name: &'static str,
    value: Secret,
}

impl Masked {
    pub(super) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Masked { name, value: Secret::new(value) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What the HTTP client is given: as long as the value.
    pub(super) fn stars(&self) -> String {
        "*".repeat(self.value.expose().len())
    }

    /// Where the value belongs in `head`, which is whole lines of a request's head.
    fn place(&self, head: &[u8]) -> Option<Range<usize>> {
        let mut start = 0;
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            let value = start + self.name.len() + ": ".len();
            let end = start + line.len().saturating_sub("\r\n".len());
            let named = line.get(..self.name.len()).is_some_and(|name| {
                name.eq_ignore_ascii_case(self.name.as_bytes())
                    && line[name.len()..].starts_with(b": ")
            });
            if named && end.checked_sub(value) == Some(self.value.expose().len()) {
                return Some(value..end);
            }
            start += line.len();
        }
        None
    }
}

/// Puts the values whose headers stand in `output` there, and takes them from `masked`. Tells where they
/// are now, for [`hide`].
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

/// Covers what [`reveal`] put there.
pub(super) fn hide(output: &mut [u8], places: &[Range<usize>]) {
    places.iter().for_each(|place| output[place.clone()].fill(b'*'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go_and_nothing_else_changes() {
        let mut masked =
            vec![Masked::new("Authorization", "Bearer key"), Masked::new("X-Signature", "abcd")];
        assert_eq!(masked[0].stars(), "**********");
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
