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
                if !memory.enlarge(length).await {
                    drop(bytes);
                    memory.give_back();
                    drain(headers, body, limit).await;
                    return Err(reply::no_room(memory.limit()).into());
                }
                progress.moved(data.len());
                bytes.extend_from_slice(&data);
            }
        }
    }
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
