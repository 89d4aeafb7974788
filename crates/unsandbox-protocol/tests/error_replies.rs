// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refusals on the wire: what is read of other servers' words, our own and back, and how long to wait.

use unsandbox_protocol::{Error, ErrorCode, wire};

#[test]
fn errors_cross_the_wire() {
    let read = |status: u16, body: &str| wire::decode_error(status, None, body.as_bytes());
    for (status, body, code, message) in [
        (
            400,
            r#"{"success":false,"error":"invalid_request","message":"ttl is 0","stderr":""}"#,
            ErrorCode::Argument,
            "ttl is 0",
        ),
        (413, r#"{"error":"too_large","message":"m"}"#, ErrorCode::Argument, "m"),
        (
            401,
            r#"{"error":"invalid_timestamp","message":"Request timestamp expired"}"#,
            ErrorCode::Auth,
            "Request timestamp expired",
        ),
        (401, r#"{"error":"bad key given"}"#, ErrorCode::Auth, "bad key given"),
        (402, r#"{"message":"pay","code":"payment"}"#, ErrorCode::Api, "pay"),
        (403, "", ErrorCode::Permission, "the server answered HTTP 403"),
        (404, r#"{"error":"not_found"}"#, ErrorCode::NotFound, "the server says \"not_found\""),
        (405, "", ErrorCode::Api, "the server answered HTTP 405"),
        (409, "{}", ErrorCode::Conflict, "the server answered HTTP 409"),
        (
            422,
            r#"{"error":"language_unavailable","message":"apt install gforth"}"#,
            ErrorCode::LanguageUnavailable,
            "apt install gforth",
        ),
        (422, r#"{"error":"other"}"#, ErrorCode::Api, "the server says \"other\""),
        (428, r#"{"challenge_id":"c"}"#, ErrorCode::Api, "the server answered HTTP 428"),
        (
            429,
            r#"{"error":"concurrency_limit_reached","message":"slow"}"#,
            ErrorCode::RateLimited,
            "slow",
        ),
        (500, r#"{"error":"internal","message":"oops"}"#, ErrorCode::Server, "oops"),
        (
            501,
            r#"{"error":"isolation_unavailable","message":"no userns"}"#,
            ErrorCode::IsolationUnavailable,
            "no userns",
        ),
        (502, "<html>bad gateway</html>", ErrorCode::Server, "the server answered HTTP 502"),
        (522, "\u{0}", ErrorCode::Server, "the server answered HTTP 522"),
        (302, "", ErrorCode::Protocol, "the server answered HTTP 302"),
        (500, r#"{"error":{"code":"c","message":"inner"}}"#, ErrorCode::Server, "inner"),
        (500, r#"{"success":false,"error":"a text","stderr":"s"}"#, ErrorCode::Server, "a text"),
    ] {
        let error = read(status, body);
        assert_eq!((error.code(), error.message()), (code, message), "{status} {body}");
        assert_eq!((error.http_status(), error.body()), (status, Some(body)));
    }
    assert_eq!(
        read(401, r#"{"error":"invalid_timestamp","message":"x"}"#).wire(),
        "invalid_timestamp"
    );
    assert_eq!(wire::decode_error(429, Some("7"), b"").retry_after_ms(), Some(7000));
}

#[test]
fn our_errors_come_back_as_themselves() {
    for row in unsandbox_protocol::error::ERROR_TABLE.iter().filter(|row| row.http_status != 0) {
        let error = Error::new(row.code, "the words").with_job_id("j");
        let body = wire::encode_error(&error);
        let start = format!(
            r#"{{"success":false,"error":"{}","message":"the words","stderr":"""#,
            row.wire
        );
        assert!(body.starts_with(&start), "{body}");
        let status = wire::status_of_error(&error);
        assert_eq!(status, row.http_status);
        let back = wire::decode_error(status, None, body.as_bytes());
        // A bug of the server's is not one of ours.
        let expected = if row.code == ErrorCode::Internal { ErrorCode::Server } else { row.code };
        assert_eq!(
            (back.code(), back.message(), back.job_id()),
            (expected, "the words", Some("j"))
        );
    }
    let large = Error::argument("big").with_wire("too_large");
    assert_eq!(wire::status_of_error(&large), 413);
    assert_eq!(wire::status_of_error(&Error::new(ErrorCode::Connect, "x")), 500);
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    let now = 1_445_412_400;
    for (value, ms) in [
        ("0", Some(0)),
        (" 120 ", Some(120_000)),
        ("1.5", Some(1_500)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(80_000)),
        ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
        ("Mon, 31 Dec 2998 23:59:59 GMT", Some(86_400_000)),
        ("1e300", Some(86_400_000)),
        ("-1", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(wire::retry_after_ms(value, now), ms, "{value:?}");
    }
}
