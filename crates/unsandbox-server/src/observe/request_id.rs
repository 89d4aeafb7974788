// SPDX-License-Identifier: MIT OR Apache-2.0
//! The id of a request: the client's own, or one of this process. The reply, the log and the audit line have it.

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unsandbox_protocol::Error;

pub(crate) const REQUEST_ID_NAME: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id of a client that is taken over.
const LEN_MAX: usize = 64;

/// Visible ASCII.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("it is visible ASCII")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes ids for requests that bring none.
#[derive(Debug)]
pub(crate) struct RequestIds {
    /// Random, so that two processes make no equal ids.
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// # Errors
    /// INTERNAL, if the system gives no random numbers.
    pub(crate) fn new() -> Result<RequestIds, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|cause| Error::internal("no random numbers").with_cause(cause))?;
        Ok(RequestIds { process: u64::from_ne_bytes(random), count: AtomicU64::new(0) })
    }

    /// The id that a request brings, if it is one header of 1 to 64 visible ASCII characters; else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        let mut given = headers.get_all(REQUEST_ID_NAME).iter();
        let only = given.next().filter(|_| given.next().is_none());
        match only.and_then(sane) {
            Some(id) => RequestId(id.into()),
            None => {
                let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
                RequestId(format!("{:016x}-{count}", self.process).into())
            }
        }
    }
}

fn sane(value: &HeaderValue) -> Option<&str> {
    let is_sane =
        (1..=LEN_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    if is_sane { value.to_str().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_of_a_client_is_taken_over() {
        let ids = RequestIds::new().unwrap();
        let of = |values: &[&[u8]]| {
            let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
            ids.of(&values.map(|value| (REQUEST_ID_NAME, value)).collect()).to_string()
        };
        let longest = "x".repeat(LEN_MAX);
        for taken in ["a", "0f-\"{}", &longest] {
            assert_eq!(of(&[taken.as_bytes()]), taken);
        }
        let mut made = Vec::new();
        let long = [b'x'; LEN_MAX + 1];
        for wrong in [&[][..], &[&b""[..]], &[b"a b"], &[b"\xc3\xbc"], &[&long], &[b"a", b"b"]] {
            let id = of(wrong);
            assert!(id.len() <= LEN_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
            assert!(!made.contains(&id), "{id} was made before");
            made.push(id);
        }
    }
}
