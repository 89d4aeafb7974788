// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replies: compact JSON from the encoders of unsandbox-protocol, and one format for all errors.

use crate::budget::Reservation;
use crate::connections::{Need, RunRefused};
use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use unsandbox_protocol::{Error, ErrorCode, wire};

/// The header that lists this server's extensions of the protocol.
pub(crate) const FEATURES_NAME: HeaderName = HeaderName::from_static(wire::FEATURES_HEADER);

pub(crate) fn json(body: String) -> Response<Body> {
    with_status(StatusCode::OK, body)
}

/// The text of a large reply, which holds its reservation until its last byte is sent.
pub(crate) fn held(room: Reservation, body: String) -> Bytes {
    struct Held {
        body: String,
        _room: Reservation,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            self.body.as_bytes()
        }
    }
    Bytes::from_owner(Held { body, _room: room })
}

pub(crate) fn with_status(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A panic of this server, or of its backend.
pub(crate) fn bug() -> Error {
    Error::internal("internal server error (a bug; please report it with the server's log)")
}

/// The word of a refusal, for the metrics; an extension of its reply.
#[derive(Clone, Debug)]
pub(crate) struct RefusedAs(pub String);

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = with_status(status_of(&self.0), wire::encode_error(&self.0));
        response.extensions_mut().insert(RefusedAs(wire::word_of_error(&self.0).to_string()));
        if let Some(seconds) = retry_after_seconds(&self.0) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.wire() == wire::STOPPING {
            // So that the next request uses a new connection, which may reach the successor of this server.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(wire::status_of_error(error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Whole seconds, rounded up; a 429 always says how long.
fn retry_after_seconds(error: &Error) -> Option<u64> {
    match error.retry_after_ms() {
        Some(ms) => Some(ms.div_ceil(1000).max(1)),
        None if error.code() == ErrorCode::RateLimited => Some(1),
        None => None,
    }
}

pub(crate) fn not_found(path: &str) -> Error {
    let shown: String = path.chars().take(100).collect();
    Error::new(ErrorCode::NotFound, format!("no operation has the path {shown:?}"))
}

pub(crate) fn method_not_allowed(method: &str, path: &str) -> Error {
    let shown: String = path.chars().take(100).collect();
    let text = format!(
        "method {method} is not allowed for {shown:?}; the header Allow of this reply names those that are"
    );
    Error::new(ErrorCode::Api, text).with_wire("method_not_allowed").with_http_status(405)
}

pub(crate) fn body_too_large(limit: usize) -> Error {
    Error::argument(format!("the request body is over the limit of {limit} bytes"))
        .with_wire("too_large")
        .with_http_status(413)
}

pub(crate) fn encoded_body(encoding: &str) -> Error {
    let shown: String = encoding.chars().take(40).collect();
    let text = format!("Content-Encoding {shown:?} is not supported; send the body without it");
    Error::new(ErrorCode::Api, text).with_wire("unsupported_media_type").with_http_status(415)
}

/// A web page may send a form anywhere without asking, and with it a program.
pub(crate) fn form_body(content_type: &str) -> Error {
    let shown: String = content_type.chars().take(60).collect();
    let text = format!(
        "Content-Type {shown:?} is a form's, which any web page may send: send the program as \
         text/plain, or options and program as application/json (curl: -H 'Content-Type: text/plain')"
    );
    Error::new(ErrorCode::Api, text).with_wire("unsupported_media_type").with_http_status(415)
}

pub(crate) fn no_room(limit: usize) -> Error {
    let text = format!(
        "the {limit} bytes for request bodies are in use, or this client uses its share of them; retry after 1 s"
    );
    busy(&text).with_retry_after_ms(1_000)
}

/// For a request that has not begun to run.
pub(crate) fn evicted(need: Need) -> Error {
    let short = match need {
        Need::Place => "all connections of this server are in use",
        Need::Memory => "the memory for request bodies is in use",
    };
    busy(&format!("{short}, and this client has the most; retry after 1 s"))
        .with_retry_after_ms(1_000)
}

/// The run is complete, and its result can be fetched by its id.
pub(crate) fn no_room_for_reply(limit: usize, job_id: &str) -> Error {
    let text = format!(
        "the {limit} bytes for large replies are in use, or this client uses its share of them; ask for job \
         {job_id} after 2 s"
    );
    busy(&text).with_retry_after_ms(2_000).with_job_id(job_id)
}

fn busy(message: &str) -> Error {
    Error::new(ErrorCode::Server, message).with_wire(wire::BUSY).with_http_status(503)
}

/// The error for a refused synchronous run.
pub(crate) fn run_refused(why: RunRefused) -> Error {
    let (runs, places) = match why {
        RunRefused::Evicted(need) => return evicted(need),
        RunRefused::Share { runs, places } => (runs, places),
    };
    let text = format!(
        "this client has {runs} of {places} connections waiting for runs, which is its share; retry after 1 s, or \
         submit jobs (/execute/async)"
    );
    Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(1_000)
}

pub(crate) fn unhealthy(status: &str) -> Error {
    Error::new(ErrorCode::Server, format!("the backend of this server reports {status:?}"))
        .with_wire("unhealthy")
        .with_http_status(503)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::error::ERROR_TABLE;

    #[test]
    fn every_error_of_the_table_has_its_status() {
        for row in ERROR_TABLE {
            let status = status_of(&Error::new(row.code, "x")).as_u16();
            if row.http_status != 0 {
                assert_eq!(status, row.http_status, "{}", row.name);
            } else {
                assert!(status >= 500, "{}", row.name);
            }
        }
        assert_eq!(status_of(&body_too_large(5)).as_u16(), 413);
        assert_eq!(status_of(&method_not_allowed("PUT", "/run")).as_u16(), 405);
    }

    #[test]
    fn a_429_always_has_retry_after() {
        let error = |ms: Option<u64>| {
            let error = Error::new(ErrorCode::RateLimited, "x");
            ms.map_or(error.clone(), |ms| error.with_retry_after_ms(ms))
        };
        assert_eq!(retry_after_seconds(&error(None)), Some(1));
        assert_eq!(retry_after_seconds(&error(Some(0))), Some(1));
        assert_eq!(retry_after_seconds(&error(Some(1_001))), Some(2));
        assert_eq!(retry_after_seconds(&Error::argument("x")), None);
    }
}
