// SPDX-License-Identifier: MIT OR Apache-2.0
//! Request bodies: read completely within limits of size, memory and time, or discarded after a refusal.

use crate::budget::Reservation;
use crate::pace::Pace;
use crate::reply::{self, Refusal};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use std::time::Duration;
use unsandbox_protocol::{Error, ErrorCode};

/// How long a refused body is still read, so that its sender can read the refusal.
const DRAIN: Duration = Duration::from_secs(10);

/// Reads a body of at most `limit` bytes. Memory is reserved before it is used.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    pace: Pace,
    memory: &mut Reservation,
) -> Result<Bytes, Refusal> {
    if announced(headers).is_some_and(|length| length > limit as u64) {
        drain(headers, body, limit).await;
        return Err(reply::body_too_large(limit).into());
    }
    let mut bytes = Vec::new();
    let mut progress = pace.begin();
    loop {
        match tokio::time::timeout_at(progress.end(), body.frame()).await {
            Err(_) => {
                let text = format!("the request body came too slowly: {progress}");
                return Err(Error::new(ErrorCode::Api, text)
                    .with_wire("request_timeout")
                    .with_http_status(408)
                    .into());
            }
            Ok(None) => return Ok(Bytes::from(bytes)),
            Ok(Some(Err(error))) => {
                let all = announced(headers).map_or(String::new(), |all| format!(" of {all}"));
                let text = format!("the request body ended after {}{all} bytes", bytes.len());
                return Err(Error::argument(text).with_cause(error).into());
            }
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let length = bytes.len() + data.len();
                if length > limit {
                    drop(bytes);
                    drain(headers, body, limit).await;
                    return Err(reply::body_too_large(limit).into());
                }
                let capacity = grown(bytes.capacity(), length, announced(headers), limit);
                if !memory.enlarge(capacity).await {
                    drop(bytes);
                    memory.give_back();
                    drain(headers, body, limit).await;
                    return Err(reply::no_room(memory.limit()).into());
                }
                progress.moved(data.len());
                bytes.reserve_exact(capacity - bytes.len());
                bytes.extend_from_slice(&data);
            }
        }
    }
}

/// The capacity of a buffer that is to hold `length` bytes. It grows by a quarter, so that few of its bytes are copied
/// and few are unused, and not beyond the announced size.
fn grown(capacity: usize, length: usize, announced: Option<u64>, limit: usize) -> usize {
    if length <= capacity {
        return capacity;
    }
    let most = announced.map_or(limit, |all| usize::try_from(all).unwrap_or(limit));
    (capacity + capacity / 4).min(most).max(length)
}

/// Reads and discards the rest of a refused request, within bounds. Without this the connection would be reset
/// while the client sends, and most clients lose a reply that is followed by a reset.
pub(crate) async fn drain(headers: &HeaderMap, mut body: Body, limit: usize) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let mut left = 2 * limit as u64;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN, reading).await;
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::connections::Limiter;
    use crate::party::Peer;
    use axum::body::HttpBody;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    const PIECE: usize = 10_000;

    /// So many pieces.
    struct Pieces(usize);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; PIECE])))))
        }
    }

    #[tokio::test]
    async fn the_memory_that_a_body_holds_is_reserved() {
        let budget = Budget::new(1 << 30, Duration::ZERO, Duration::ZERO);
        let place = Limiter::new(2).admit(Peer::User(None)).await;
        let exchange = place.handle.begin();
        let second = Duration::from_secs(1);
        for (headers, pieces) in [(None, 1), (None, 103), (Some(103 * PIECE), 103)] {
            let headers = headers.map(|all| (CONTENT_LENGTH, all.into())).into_iter().collect();
            let mut memory = budget.reserve(&exchange);
            let pace = Pace { pause: second, rate: 1, deadline: None };
            let body = Body::new(Pieces(pieces));
            let bytes = read(&headers, body, 1 << 24, pace, &mut memory).await.ok().unwrap();
            assert_eq!(bytes.len(), pieces * PIECE);
            let held = bytes.try_into_mut().unwrap().capacity();
            assert!(held <= memory.bytes(), "{held} bytes are held, {} reserved", memory.bytes());
            assert!(memory.bytes() <= pieces * PIECE * 5 / 4);
            assert!(headers.is_empty() || held == pieces * PIECE, "{held}");
        }
    }

    #[test]
    fn a_buffer_grows_by_a_quarter_and_not_beyond_what_is_announced() {
        assert_eq!(grown(0, 10, None, 1000), 10);
        assert_eq!(grown(100, 100, None, 1000), 100);
        assert_eq!(grown(100, 101, None, 1000), 125);
        assert_eq!(grown(100, 101, Some(110), 1000), 110);
        assert_eq!(grown(100, 300, Some(110), 1000), 300);
        assert_eq!(grown(900, 901, None, 1000), 1000);
    }
}
