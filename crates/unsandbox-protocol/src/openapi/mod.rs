// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OpenAPI 3.1 document of the server, made from the tables of this crate: options, limits, fields of a result and
//! errors. What has no table elsewhere (jobs, keys, health, operations) has its one table here.

mod operations;
mod refusals;
mod replies;
mod request;
mod schema;
mod usage;
mod webhooks;

pub use operations::{METRICS_TYPE, templates};
pub use refusals::{RefusalRow, refusals};

use crate::limits::PAGE_MAX_JOBS;
use crate::wire::{
    COMPAT_HEADER, FEATURES_HEADER, IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY_MAX_CHARS,
    LAST_EVENT_ID_HEADER, WAIT_MAX_SECONDS,
};
use serde_json::{Map, Value, json};

/// The header of a signed request with its time.
const TIMESTAMP_HEADER: &str = "X-Timestamp";
/// A place in the output of a job.
const OFFSETS: &str = "^[0-9]+-[0-9]+$";
/// The header of a signed request with its signature.
const SIGNATURE_HEADER: &str = "X-Signature";

const DESCRIPTION: &str = "\
The HTTP interface of `unsandbox serve`: runs code in any language in a sandbox. A program that fails is a reply with \
status 200 and `success: false`; a refusal is the object `Error` with another status. Sizes are in bytes, times in the \
unit that the name ends in. A reply may get further members in later versions, so a client ignores those that it does \
not know. An unknown member of a request does nothing and is named in `warnings`; a member that is null is as if it \
were absent. A server without keys takes requests without `Authorization` from programs of its own machine. A server in \
front of another one passes that one's refusals on.";

/// The document. Equal for every server of this version, whatever its options are.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "unsandbox",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Runs code in any language in a sandbox",
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "the server that gives this document"}],
        "tags": operations::tags(),
        "paths": operations::paths(),
        "webhooks": webhooks::webhooks(),
        "components": {
            "schemas": schemas(),
            "parameters": parameters(),
            "headers": headers(),
            "responses": refusals::responses(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn schemas() -> Map<String, Value> {
    request::schemas().into_iter().chain(replies::schemas()).collect()
}

fn from() -> Value {
    json!({
        "name": "from", "in": "query",
        "description": "the place in the output behind which the events begin, as `STDOUT-STDERR`: the bytes of both \
                        streams that the client has",
        "schema": {"type": "string", "pattern": OFFSETS},
    })
}

fn file_name() -> Value {
    json!({
        "name": "name", "in": "path", "required": true,
        "description": "name of a file that the console names",
        "schema": {"type": "string"},
    })
}

fn limit() -> Value {
    json!({
        "name": "limit", "in": "query",
        "description": "the most jobs that the reply has; without it all",
        "schema": {"type": "integer", "minimum": 1, "maximum": PAGE_MAX_JOBS},
    })
}

fn after() -> Value {
    json!({
        "name": "after", "in": "query",
        "description": "id of a job, as the last one of the page before: only jobs that were submitted after it. It may have \
                        ended, but has to be known still",
        "schema": {"type": "string", "minLength": 1},
    })
}

/// The parameters that operations name: those of every operation, then the options of `/run`.
fn parameters() -> Map<String, Value> {
    let header = |name: &str, means: String, schema: Value| json!({"name": name, "in": "header", "description": means, "schema": schema});
    let mut parameters = Map::from_iter([
        (
            "JobId".to_string(),
            json!({
                "name": "id", "in": "path", "required": true,
                "description": "`job_id` of a submission or of a list of jobs",
                "schema": {"type": "string"},
            }),
        ),
        (
            "Wait".to_string(),
            json!({
                "name": "wait", "in": "query",
                "description": format!(
                    "whole seconds that the reply waits for the end of the job, reduced to {WAIT_MAX_SECONDS}; without it \
                     the reply comes at once"
                ),
                "schema": {"type": "integer", "minimum": 0},
            }),
        ),
        ("FileName".to_string(), file_name()),
        ("From".to_string(), from()),
        ("Limit".to_string(), limit()),
        ("After".to_string(), after()),
        (
            "LastEventId".to_string(),
            header(
                LAST_EVENT_ID_HEADER,
                "the same, as the `id` of the last event; for replies that are a stream of events".to_string(),
                json!({"type": "string", "pattern": OFFSETS}),
            ),
        ),
        (
            "IdempotencyKey".to_string(),
            header(
                IDEMPOTENCY_KEY_HEADER,
                format!(
                    "the same in each attempt of one submission, which then runs once: visible ASCII characters. A key \
                     that begins with the name of a key store ({FEATURES_HEADER} gives it: `idempotency=STORE`, of asynchronous submissions `idempotency-jobs=STORE` where it \
                     is there) and `/` is \
                     refused with 412 by a server with another store"
                ),
                json!({"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX_CHARS}),
            ),
        ),
        (
            "Compat".to_string(),
            header(
                COMPAT_HEADER,
                "`0` asks for each thing once: no result at the root of a job beside `result`, no artifact under two keys, \
                 and a stream either as text or as base64; any other value is as if it were absent"
                    .to_string(),
                json!({"type": "string"}),
            ),
        ),
    ]);
    parameters.extend(request::query_parameters());
    parameters
}

/// The headers of every reply.
fn reply_headers() -> Value {
    json!({
        "x-unsandbox-features": {"$ref": "#/components/headers/Features"},
        "x-request-id": {"$ref": "#/components/headers/RequestId"},
        "ratelimit-policy": {"$ref": "#/components/headers/RateLimitPolicy"},
        "ratelimit-limit": {"$ref": "#/components/headers/RateLimitLimit"},
        "ratelimit-remaining": {"$ref": "#/components/headers/RateLimitRemaining"},
        "ratelimit-reset": {"$ref": "#/components/headers/RateLimitReset"},
    })
}

/// The headers of replies.
fn headers() -> Value {
    json!({
        "Features": {
            "description": "what the server can do beyond the service, comma-separated",
            "required": true,
            "schema": {"type": "string"},
        },
        "RequestId": {
            "description": "the `x-request-id` of the request, if it was 1 to 64 visible ASCII characters, else one that the \
                            server made; its log has it, too",
            "required": true,
            "schema": {"type": "string"},
        },
        "RateLimitPolicy": {
            "description": "`N;w=60;burst=B`: N requests in a minute, B of them at once; the four ratelimit headers are \
                            there where the key has a limit",
            "schema": {"type": "string"},
        },
        "RateLimitLimit": {
            "description": "requests that may come at once, after a time without any",
            "schema": {"type": "integer", "minimum": 1},
        },
        "RateLimitRemaining": {
            "description": "requests that may come at once now",
            "schema": {"type": "integer", "minimum": 0},
        },
        "RateLimitReset": {
            "description": "whole seconds until as many may come at once as at first",
            "schema": {"type": "integer", "minimum": 0},
        },
        "RetryAfter": {
            "description": "whole seconds after which the request may be repeated",
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

fn security_schemes() -> Value {
    let window = crate::limits::SIGNATURE_WINDOW.as_secs();
    json!({
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "the key of the caller; in a signed request the public key of the pair",
        },
        "timestamp": {
            "type": "apiKey", "in": "header", "name": TIMESTAMP_HEADER,
            "description": format!("Unix time in whole seconds, within {window} s of the server's clock"),
        },
        "signature": {
            "type": "apiKey", "in": "header", "name": SIGNATURE_HEADER,
            "description": "HMAC-SHA256 in lower-case hexadecimal, keyed with the secret key of the pair, of the text \
                            `TIME:METHOD:PATH:BODY`: TIME is X-Timestamp, PATH is taken with or without its query, BODY is \
                            the bytes of the body",
        },
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
