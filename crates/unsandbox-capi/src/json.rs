// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls a method by its name, with JSON in and out. A binding for another language needs only this function,
//! unsandbox_client_from_env, and the two functions that free their results.

use crate::boundary::{ffi, give_out};
use crate::client::{client_of, unsandbox_client};
use crate::error::unsandbox_error;
use crate::text::text;
use serde_json::Value;
use std::ffi::{CString, c_char};
use std::task::Poll;
use std::time::{Duration, Instant};
use unsandbox::{CallOptions, Client, JobEvent, JobEvents, Offsets, Page};
use unsandbox_protocol::rules::shown;
use unsandbox_protocol::{Error, ExecutionResult, Job, Probe, RawJson, Request, wire};

/// Calls a method by its name, with JSON in and JSON out, and waits for it.
///
/// "execute", "execute_async": the body of POST /execute: {"language", "code", "env", "ttl", …}.
/// "run", "run_async": the same without "language". "get_job", "wait_job", "cancel_job", "delete_job":
/// {"job_id"}, and for "wait_job" perhaps "timeout_ms". "job_events": the same and perhaps "from"; it
/// waits, at most "timeout_ms", for events behind that place in the output, and gives {"events", "from"},
/// where "from" is for the next call; without "from" the state of the job is an event too. "list_jobs": perhaps
/// "limit" and "after", as of unsandbox_client_list_jobs_page; it then gives "has_more", too. "languages",
/// "validate_key", "usage", "health", "probe": nothing. What comes out is in the form of the server's replies; for the six
/// methods that give a result or a job it is as unsandbox_result_json or unsandbox_job_json.
///
/// @param client    shared; may be used by several threads.
/// @param method    one of the names above.
/// @param json      a JSON object, UTF-8; empty is {}. Borrowed for the call.
/// @param out       receives UTF-8 owned by the caller, NUL-terminated; free with
///                  unsandbox_string_free. Required.
/// @param out_len   receives the length in bytes; may be NULL.
/// @param err       receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_ARGUMENT for an unknown method or wrong JSON, or what the method
///         returns.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_client_call_json(
    client: *const unsandbox_client,
    method: *const c_char,
    method_len: usize,
    json: *const c_char,
    json_len: usize,
    out: *mut *mut c_char,
    out_len: *mut usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(out, "out", || {
            let client = client_of(client)?;
            let method = text(method, method_len, "method")?;
            let json = text(json, json_len, "json")?;
            let reply = call(client, method, if json.is_empty() { "{}" } else { json })?;
            let len = reply.len();
            // Valid JSON has no NUL, but a server's text may be invalid.
            let reply = CString::new(reply).map_err(|_| {
                Error::new(
                    unsandbox_protocol::ErrorCode::Protocol,
                    "the reply contains a NUL byte, which a C string cannot hold",
                )
            })?;
            crate::text::give_raw(std::ptr::null::<u8>(), len, out_len);
            Ok(reply.into_raw())
        })
    })
}

/// Frees what unsandbox_client_call_json gave; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_string_free(string: *mut c_char) {
    ffi!(or(), {
        if !string.is_null() {
            // SAFETY: it came from `CString::into_raw` and is freed once, by the contract of the ABI.
            drop(unsafe { CString::from_raw(string) });
        }
    })
}

fn call(client: &Client, method: &str, json: &str) -> Result<String, Error> {
    let options = CallOptions::default();
    Ok(match method {
        "execute" => result(client.with(options).execute(&named(json)?)?),
        "run" => result(client.with(options).run(&detected(json)?)?),
        "execute_async" => job(client.with(options).execute_async(&named(json)?)?),
        "run_async" => job(client.with(options).run_async(&detected(json)?)?),
        "get_job" => job(client.with(options).get_job(&job_id(json)?)?),
        "wait_job" => {
            let deadline = timeout(json)?;
            result(client.with(CallOptions { deadline, ..options }).wait_job(&job_id(json)?)?)
        }
        "job_events" => {
            let (from, limit) = (from(json)?, timeout(json)?);
            let reader = client.with(options).job_events(&job_id(json)?, from.unwrap_or_default());
            events(reader?, from.is_none(), limit)?
        }
        "cancel_job" => result(client.with(options).cancel_job(&job_id(json)?)?),
        "delete_job" => {
            let job_id = job_id(json)?;
            client.with(options).delete_job(&job_id)?;
            wire::encode_deleted(&job_id)
        }
        "list_jobs" => {
            let page = page(json)?;
            let listed = client.with(options).list_jobs_page(&page)?;
            match page.is_all() {
                true => wire::encode_jobs(&listed.jobs),
                false => wire::encode_job_page(&listed),
            }
        }
        "languages" => wire::encode_languages(&client.with(options).languages()?),
        // Encoded anew: a server's reply about an unknown key is an error without "valid".
        "validate_key" => wire::encode_key_info(&client.with(options).validate_key()?),
        "usage" => {
            let mut usage = client.with(options).usage()?;
            raw_or(usage.raw.take(), || wire::encode_usage(&usage))
        }
        "health" => {
            let mut health = client.with(options).health()?;
            raw_or(health.raw.take(), || wire::encode_health(&health))
        }
        "probe" => probe(&client.probe()?),
        _ => return Err(unknown(method)),
    })
}

fn unknown(method: &str) -> Error {
    Error::argument(format!(
        "method {} is unknown; there are execute, run, execute_async, run_async, get_job, wait_job, \
         job_events, cancel_job, delete_job, list_jobs, languages, validate_key, usage, health and probe",
        shown(method)
    ))
}

fn named(json: &str) -> Result<Request, Error> {
    Ok(wire::decode_request(json.as_bytes())?.request)
}

fn detected(json: &str) -> Result<Request, Error> {
    Ok(wire::decode_run("", Some("application/json"), json.as_bytes())?.request)
}

fn raw_or(raw: Option<RawJson>, encode: impl FnOnce() -> String) -> String {
    raw.map_or_else(encode, String::from)
}

fn result(mut result: ExecutionResult) -> String {
    raw_or(result.raw.take(), || wire::encode_result(&result, wire::Shape::Once))
}

fn job(mut job: Job) -> String {
    raw_or(job.raw.take(), || wire::encode_job(&job, wire::Shape::Once))
}

fn fields(json: &str) -> Result<serde_json::Map<String, Value>, Error> {
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::argument("json must be an object")),
        Err(cause) => {
            Err(Error::argument("the `json` argument is not valid JSON").with_cause(cause))
        }
    }
}

fn job_id(json: &str) -> Result<String, Error> {
    match fields(json)?.remove("job_id") {
        Some(Value::String(id)) => Ok(id),
        _ => Err(Error::argument("job_id is missing, or not text")),
    }
}

fn timeout(json: &str) -> Result<Option<Duration>, Error> {
    match fields(json)?.remove("timeout_ms") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(ms) if ms > 0 => Ok(Some(Duration::from_millis(ms))),
            _ => Err(Error::argument("timeout_ms must be an integer of at least 1")),
        },
    }
}

fn page(json: &str) -> Result<Page, Error> {
    let mut fields = fields(json)?;
    let limit = match fields.remove("limit") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_u64().and_then(|limit| usize::try_from(limit).ok()) {
            Some(limit) => Some(limit),
            None => return Err(Error::argument("limit must be an integer of at least 1")),
        },
    };
    let after = match fields.remove("after") {
        None | Some(Value::Null) => None,
        Some(Value::String(after)) => Some(after),
        Some(_) => return Err(Error::argument("after must be text, the id of a job")),
    };
    Ok(Page { limit, after })
}

fn from(json: &str) -> Result<Option<Offsets>, Error> {
    match fields(json)?.remove("from") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some),
        Some(_) => Err(Error::argument("from must be text, as \"120-0\"")),
    }
}

/// The events that there are. Waits for the first one that the caller has not, at most for `limit`.
fn events(
    mut reader: JobEvents,
    with_state: bool,
    limit: Option<Duration>,
) -> Result<String, Error> {
    let until = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut found = Vec::new();
    loop {
        let left = match until {
            _ if !found.is_empty() => Duration::ZERO,
            Some(until) => until.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        match reader.next_within(left) {
            Poll::Ready(Some(Ok(JobEvent::Queued(_) | JobEvent::Started(_)))) if !with_state => {}
            Poll::Ready(Some(Ok(event))) => found.push(event),
            // The next call gets it again.
            Poll::Ready(Some(Err(error))) if found.is_empty() => return Err(error),
            _ => return Ok(wire::encode_events(&found, reader.offsets())),
        }
    }
}

fn probe(probe: &Probe) -> String {
    let layers: Vec<Value> = probe
        .layers
        .iter()
        .map(|layer| {
            serde_json::json!({
                "name": layer.name,
                "available": layer.available,
                "detail": layer.detail,
                "fix": layer.fix,
            })
        })
        .collect();
    let level = probe.level.map(|level| level.as_str());
    serde_json::json!({ "level": level, "layers": layers }).to_string()
}
