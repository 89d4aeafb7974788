// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of refusals: each status with which a server refuses a request, and the words of its `error`. It is the
//! table of errors, and the words that only the wire has.

use super::schema::reference;
use crate::error::{CONCURRENCY_LIMIT_REACHED, ERROR_TABLE, INVALID_SIGNATURE};
use crate::wire::{BUSY, STOPPING, STORE_CHANGED};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One status and one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalRow {
    /// The HTTP status.
    pub http_status: u16,
    /// The word in the `error` field.
    pub wire: &'static str,
    /// Its meaning in a few words: lower case, no final stop.
    pub means: &'static str,
}

const fn row(http_status: u16, wire: &'static str, means: &'static str) -> RefusalRow {
    RefusalRow { http_status, wire, means }
}

/// Words that the table of errors does not have.
const MORE: &[RefusalRow] = &[
    row(
        401,
        INVALID_SIGNATURE,
        "the public key is known, and the signature is not of its secret key",
    ),
    row(
        401,
        "invalid_timestamp",
        "the time of a signed request is missing, or too far from the server's clock",
    ),
    row(
        405,
        "method_not_allowed",
        "the path has no operation with this method; the header Allow names those that it has",
    ),
    row(408, "request_timeout", "the body came too slowly"),
    row(
        412,
        STORE_CHANGED,
        "the Idempotency-Key names a key store that is not the one of this server; nothing was run",
    ),
    row(413, "too_large", "the body is over the limit of the server"),
    row(415, "unsupported_media_type", "the body is compressed, or a form"),
    row(
        429,
        CONCURRENCY_LIMIT_REACHED,
        "as many executions of the key run and wait as may; `Retry-After` says when to try again",
    ),
    row(
        503,
        BUSY,
        "the server is short of connections, or of memory for a request or a reply; `job_id` names a job whose reply found no memory",
    ),
    row(503, STOPPING, "the server stops and takes no new work"),
    row(503, "unhealthy", "the server cannot run programs now; `status` says why"),
];

/// Every refusal, by status.
pub fn refusals() -> Vec<RefusalRow> {
    let crosses = ERROR_TABLE.iter().filter(|error| error.http_status != 0);
    let rows = crosses.map(|error| row(error.http_status, error.wire, error.means));
    let mut rows: Vec<_> = rows.chain(MORE.iter().copied()).collect();
    rows.sort_by_key(|row| row.http_status);
    rows
}

/// The name of the component that describes the refusals with a status.
pub(super) fn component(status: u16) -> String {
    format!("Refused{status}")
}

/// The responses of all statuses that operations have.
pub(super) fn responses() -> Map<String, Value> {
    let statuses: BTreeSet<u16> = refusals().iter().map(|row| row.http_status).collect();
    // 405 is of a path that has no operation with the method.
    let of_operations = statuses.into_iter().filter(|status| *status != 405);
    of_operations.map(|status| (component(status), response(status, reference("Error")))).collect()
}

/// The refusal of `GET /health`: its status in words with the refusal, or the refusal alone.
pub(super) fn unhealthy() -> Value {
    response(503, super::replies::any_of(&["Unhealthy", "Error"]))
}

/// The refusal of `GET /readyz`: what is not in order, or the refusal alone.
pub(super) fn not_ready() -> Value {
    response(503, super::replies::any_of(&["Ready", "Error"]))
}

fn response(status: u16, schema: Value) -> Value {
    let rows: Vec<_> = refusals().into_iter().filter(|row| row.http_status == status).collect();
    let told: Vec<_> = rows.iter().map(|row| format!("`{}`: {}", row.wire, row.means)).collect();
    let mut headers = super::reply_headers();
    if matches!(status, 429 | 503) {
        headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
    json!({
        "description": told.join("; "),
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
        "x-errors": rows.iter().map(|row| row.wire).collect::<Vec<_>>(),
    })
}
