// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON to types and back, for both ends of the wire. Writing is one superset that the clients of both
//! specification documents read; reading takes every shape that servers are known to send.

mod body;
mod error;
mod events;
mod idempotency;
mod info;
mod job;
mod json;
mod options;
mod query;
mod request;
mod result;
mod tolerant;
mod usage;

pub use error::{
    decode_error, encode_error, http_date, retry_after_ms, status_of_error, word_of_error,
};
pub use events::{
    EVENT_STREAM, EVENTS_HEARTBEAT_SECONDS, EventParser, Frame, HEARTBEAT, LAST_EVENT_ID_HEADER,
    OutputEncoder, StreamEvent, decode_stream_event, encode_error_event, encode_events,
    encode_job_event,
};
pub use idempotency::{
    IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_KEY_MAX_CHARS, STORE_CHANGED, STORE_NAME_MAX_CHARS,
    is_store_name, key_in_store, store_changed, store_generation, store_name, store_of_key,
};
pub use info::{
    KeyLimits, ReadyCheck, decode_health, decode_key_info, decode_languages, encode_alive,
    encode_empty_list, encode_health, encode_key_info, encode_languages, encode_ready,
    encode_server_health, encode_server_key_info,
};
pub use job::{
    Submitted, decode_cancelled, decode_deleted, decode_job, decode_job_page, decode_jobs,
    decode_submission, decode_submission_or_result, encode_cancelled, encode_deleted, encode_job,
    encode_job_page, encode_jobs, encode_submitted, job_bytes,
};
pub use options::{OPTION_TABLE, OptionKind, OptionReach, OptionRow, QueryForm};
pub use query::{decode_page, encode_page, percent_decode, percent_encode};
pub use request::{
    Incoming, decode_request, decode_run, encode_execute, encode_run_query, run_is_json,
    with_warnings,
};
pub use result::{Shape, decode_result, encode_result, result_bytes};
pub use tolerant::decode_base64;
pub use usage::{decode_usage, encode_usage};

/// Header in which our server says what it can do beyond the service, comma-separated.
pub const FEATURES_HEADER: &str = "x-unsandbox-features";
/// Header with which a client asks for replies in [`Shape::Lean`], by the value `0`.
pub const COMPAT_HEADER: &str = "x-unsandbox-compat";
/// `/run` takes a JSON body with files, stdin and arguments.
pub const FEATURE_RUN_JSON: &str = "run-json";
/// Submissions with the same `Idempotency-Key` are one job: `idempotency=STORE`, where STORE is the name of
/// the store of the keys (`process:` and 32 hexadecimal digits). Never without a name: version 0.1 of the
/// client takes the word alone as leave to repeat a submission, whatever remembers it.
pub const FEATURE_IDEMPOTENCY: &str = "idempotency";
/// The same of asynchronous submissions, where their keys are in another store than those of synchronous ones: one that
/// outlives the process (`store:` and 32 hexadecimal digits).
pub const FEATURE_IDEMPOTENCY_JOBS: &str = "idempotency-jobs";
/// `GET /jobs/{id}?wait=SECONDS` answers when the job ends, or after that time.
pub const FEATURE_WAIT: &str = "wait";
/// `GET /jobs/{id}/events`, and the same stream as the reply to a submission.
pub const FEATURE_EVENTS: &str = "events";
/// `DELETE /jobs/{id}/record` deletes a job that has ended. A path of its own, because `DELETE /jobs/{id}` cancels, and an
/// older server would cancel whatever the query says.
pub const FEATURE_DELETE: &str = "delete";
/// The word of a server that takes no new work because it stops; nothing ran.
pub const STOPPING: &str = "stopping";
/// The word of a server that is short of connections, or of memory for a request or a reply. Nothing ran,
/// unless the refusal names a job.
pub const BUSY: &str = "busy";

/// What our server sends as [`FEATURES_HEADER`]; `jobs` remembers the keys of jobs, where that is another store.
pub fn encode_features(store: &str, jobs: Option<&str>) -> String {
    let jobs = jobs.map_or(String::new(), |jobs| format!(", {FEATURE_IDEMPOTENCY_JOBS}={jobs}"));
    format!(
        "{FEATURE_RUN_JSON}, {FEATURE_IDEMPOTENCY}={store}{jobs}, {FEATURE_WAIT}, {FEATURE_EVENTS}, {FEATURE_DELETE}"
    )
}

/// The longest that a server holds a `?wait=`.
pub const WAIT_MAX_SECONDS: u64 = 30;
