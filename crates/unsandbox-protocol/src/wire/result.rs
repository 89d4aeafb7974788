// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results: written as the superset of both specification documents, read from either and from the
//! shapes of other servers.

use super::error::decode_error;
use super::json::Writer;
use super::tolerant::{Fields, Reply, decode_base64, malformed, text};
use crate::error::Error;
use crate::isolation::Isolation;
use crate::result::{Artifact, ExecutionResult, RawJson, Status, Usage};
use crate::result_fields::{Absent, FieldKind, FieldValue, Group, RESULT_FIELDS, ResultField};
use serde_json::Value;

/// The reply to `/execute` and `/run`, and every face's own JSON for a result.
pub fn encode_result(result: &ExecutionResult, shape: Shape) -> String {
    Writer::document_of(result_bytes(result, shape), |w| {
        write_common(w, result, Identity::Shown, shape);
        write_extras(w, result, shape);
    })
}

/// How much of a result is written more than once, for readers that know only one place or form of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// For clients of all vendors: a job's result flat beside nested, artifacts under both keys (up to
    /// 8 MB of them).
    Compat,
    /// Each thing in one place; a stream that is not UTF-8 as text and as base64. Of a large stream that is
    /// no text at all, the text is the beginning.
    Once,
    /// For our own client: a stream as text or as base64, whichever is exact and shorter. No larger than
    /// the base64 of what it carries, which the client's limit on a reply counts on.
    Lean,
}

/// Whether a result's own id and status are written, or stand beside it already.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Identity {
    Shown,
    Beside,
}

/// The fields that the specification and other clients know, in the order of the specification.
pub(super) fn write_common(
    w: &mut Writer,
    result: &ExecutionResult,
    identity: Identity,
    shape: Shape,
) {
    w.boolean("success", result.success);
    for (key, _, bytes) in streams(result) {
        if let Some(shown) = text_part(bytes, shape) {
            w.text(key, &String::from_utf8_lossy(shown));
        }
    }
    write_fields(w, result, Group::Outcome);
    if identity == Identity::Shown {
        w.text_if("job_id", result.job_id.as_deref());
        w.text("status", result.status.as_str());
    }
    let both_keys = has_both_keys(result, shape);
    w.objects("artifacts", &result.artifacts, |w, artifact| write_artifact(w, artifact, both_keys));
    write_fields(w, result, Group::Run);
    if shape == Shape::Compat {
        w.number_if("execution_time_ms", result.total_time_ms);
    }
}

/// The fields that are ours.
pub(super) fn write_extras(w: &mut Writer, result: &ExecutionResult, shape: Shape) {
    for (_, key, bytes) in streams(result) {
        if !is_exact(bytes, shape) {
            w.base64(key, bytes);
        }
    }
    for (key, usage) in [("usage", result.usage), ("compile", result.compile)] {
        let Some(usage) = usage else {
            // Where the program's is known, nothing was compiled.
            if key == "compile" && result.usage.is_some() {
                w.null(key);
            }
            continue;
        };
        w.object(key, |w| {
            w.number("cpu_time_ms", usage.cpu_time_ms);
            w.number("peak_memory_bytes", usage.peak_memory_bytes);
            w.number("wall_time_ms", usage.wall_time_ms);
        });
    }
    write_fields(w, result, Group::Ours);
    if !result.left_files.is_empty() {
        w.texts("left_files", &result.left_files);
    }
    if let Some(isolation) = &result.isolation {
        w.object("isolation", |w| {
            w.text("level", &isolation.level);
            w.texts("layers", &isolation.layers);
            w.texts("missing", &isolation.missing);
        });
    }
}

fn write_fields(w: &mut Writer, result: &ExecutionResult, group: Group) {
    for field in RESULT_FIELDS.iter().filter(|field| field.group == group) {
        match ((field.get)(result), field.absent) {
            (FieldValue::Flag(value), _) => w.boolean(field.name, value),
            (FieldValue::Number(Some(value)), _) => w.number(field.name, value),
            (FieldValue::Text(Some(value)), _) => w.text(field.name, value),
            (_, Absent::Null) => w.null(field.name),
            (_, Absent::Omitted) => {}
        }
    }
}

fn read_field(result: &mut ExecutionResult, fields: &mut Fields, field: &ResultField) {
    let keys = [&[field.name], field.also].concat();
    let text = match field.kind {
        FieldKind::Flag => {
            let value = fields.boolean(field.name);
            return (field.set)(result, FieldValue::Flag(value.unwrap_or(false)));
        }
        FieldKind::Number => {
            let value = fields.integer(&keys);
            return (field.set)(result, FieldValue::Number(value));
        }
        FieldKind::Word => fields.word(&keys),
        FieldKind::Message => message(fields, &keys),
    };
    (field.set)(result, FieldValue::Text(text.as_deref()));
}

fn streams(result: &ExecutionResult) -> [(&'static str, &'static str, &[u8]); 2] {
    [("stdout", "stdout_base64", &result.stdout), ("stderr", "stderr_base64", &result.stderr)]
}

/// Whether bytes are UTF-8 whose escapes make them no longer than base64 would.
fn fits_as_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    super::json::escaped_len(text) <= bytes.len().div_ceil(3) * 4
}

/// A larger stream that is not text is not written whole as text, because each of its bytes may take six.
const STREAM_LARGE_BYTES: usize = 1 << 20;
/// The bytes of such a stream that are written as text.
const STREAM_BEGINNING_BYTES: usize = 64 << 10;
/// Artifacts up to so many bytes together are written under both keys.
const ARTIFACTS_TWICE_BYTES: usize = 8 << 20;
/// The bytes for everything else: names, words, numbers.
const REST_BYTES: usize = 4096;

/// The part of a stream that is written as text, if any.
fn text_part(bytes: &[u8], shape: Shape) -> Option<&[u8]> {
    match shape {
        Shape::Lean => fits_as_text(bytes).then_some(bytes),
        _ if bytes.len() <= STREAM_LARGE_BYTES || lossy_len(bytes) <= 2 * bytes.len() => {
            Some(bytes)
        }
        _ => Some(&bytes[..STREAM_BEGINNING_BYTES]),
    }
}

/// Whether the text of a stream is complete.
fn is_exact(bytes: &[u8], shape: Shape) -> bool {
    let whole = text_part(bytes, shape).is_some_and(|shown| shown.len() == bytes.len());
    whole && std::str::from_utf8(bytes).is_ok()
}

/// Bytes of a stream as text between its quotes, U+FFFD for what is not UTF-8.
fn lossy_len(bytes: &[u8]) -> usize {
    let len = |text: &str| super::json::escaped_len(text);
    bytes
        .utf8_chunks()
        .map(|chunk| len(chunk.valid()) + if chunk.invalid().is_empty() { 0 } else { 3 })
        .sum()
}

fn has_both_keys(result: &ExecutionResult, shape: Shape) -> bool {
    shape == Shape::Compat && artifact_bytes(result) <= ARTIFACTS_TWICE_BYTES
}

fn artifact_bytes(result: &ExecutionResult) -> usize {
    result.artifacts.iter().map(|artifact| artifact.content.len()).sum()
}

/// An upper bound, close to the size, for the bytes of [`encode_result`], known before it is made.
pub fn result_bytes(result: &ExecutionResult, shape: Shape) -> usize {
    let keys = if has_both_keys(result, shape) { 2 } else { 1 };
    written_bytes(result, shape, 1, keys)
}

/// The same for a result whose texts are written `texts` times, and its artifacts `files` times.
pub(super) fn written_bytes(
    result: &ExecutionResult,
    shape: Shape,
    texts: usize,
    files: usize,
) -> usize {
    let base64 = |len: usize| len.div_ceil(3) * 4;
    let streams = streams(result).map(|(_, _, bytes)| {
        let text = text_part(bytes, shape).map_or(0, lossy_len);
        texts * text + if is_exact(bytes, shape) { 0 } else { base64(bytes.len()) }
    });
    let artifact_len = |it: &Artifact| {
        let name = 2 * super::json::escaped_len(&it.filename);
        base64(it.content.len()) + name + REST_BYTES
    };
    let content: usize = result.artifacts.iter().map(artifact_len).sum();
    let texts_of = result.error.iter().chain(&result.left_files);
    let words: usize = texts_of.map(|text| super::json::escaped_len(text) + 3).sum();
    streams.iter().sum::<usize>() + files * content + texts * (words + REST_BYTES)
}

/// How many times a job's result has its artifacts.
pub(super) fn job_files(result: &ExecutionResult, shape: Shape) -> usize {
    match (shape, has_both_keys(result, shape)) {
        (Shape::Compat, true) => 3,
        (Shape::Compat, false) => 2,
        _ => 1,
    }
}

fn write_artifact(w: &mut Writer, artifact: &Artifact, both_keys: bool) {
    w.text("filename", &artifact.filename);
    w.text("name", &artifact.filename);
    if let Some(url) = &artifact.url {
        w.text("url", url);
    } else {
        w.text("type", "base64");
        w.base64("content_base64", &artifact.content);
        if both_keys {
            w.base64("data", &artifact.content);
        }
        w.number("size", artifact.content.len());
    }
    w.text("kind", &artifact.kind);
}

/// Reads the reply to `/execute` or `/run`; a status of 400 or above becomes its error.
///
/// A value of a wrong type is as if it were absent; what is not a result at all is PROTOCOL.
pub fn decode_result(body: &[u8], http_status: u16) -> Result<ExecutionResult, Error> {
    if !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let (fields, raw) = Reply::object(body.into())?;
    if !is_result(&fields) {
        return Err(malformed("a result", body).with_http_status(http_status));
    }
    Ok(lone_result(fields, raw))
}

/// A reply that is a result and nothing else.
pub(super) fn lone_result(mut fields: Fields, raw: RawJson) -> ExecutionResult {
    let status = fields.word(&["status", "state"]).map(|word| Status::parse(&word));
    result_from(fields, status.unwrap_or(Status::Completed), Some(raw))
}

/// Keys of which a result has at least one.
const RESULT_KEYS: [&str; 8] =
    ["success", "stdout", "stderr", "exit_code", "output", "stdout_base64", "result", "error"];

/// Whether an object has a field about the end of a program.
pub(super) fn is_result(fields: &Fields) -> bool {
    RESULT_KEYS.iter().any(|key| fields.has(key))
}

/// Builds a result from a reply whose status was read already; a nested `result` wins over the root.
pub(super) fn result_from(
    mut fields: Fields,
    status: Status,
    raw: Option<RawJson>,
) -> ExecutionResult {
    if let Some(nested) = fields.object("result") {
        fields.merge(nested);
    }
    let mut result = ExecutionResult::new(status);
    result.stdout = stream(&mut fields, "stdout_base64", &["stdout", "output"]);
    result.stderr = stream(&mut fields, "stderr_base64", &["stderr"]);
    for field in RESULT_FIELDS {
        read_field(&mut result, &mut fields, field);
    }
    result.success = fields.boolean("success").unwrap_or_else(|| derive_success(&result));
    result.job_id = fields.word(&["job_id", "id"]);
    result.artifacts = artifacts(&mut fields);
    result.left_files = fields.texts("left_files");
    result.usage = fields.object("usage").map(usage);
    result.compile = fields.object("compile").map(usage);
    result.isolation = fields.object("isolation").map(isolation);
    result.raw = raw;
    result
}

/// The exact bytes where the server gave them, else its text.
fn stream(fields: &mut Fields, exact: &str, keys: &[&str]) -> Vec<u8> {
    match fields.base64(&[exact]) {
        Some(bytes) => bytes,
        None => fields.text(keys).unwrap_or_default().into_bytes(),
    }
}

/// A text, or the message of an object; empty is none.
fn message(fields: &mut Fields, keys: &[&str]) -> Option<String> {
    match fields.take(keys)? {
        Value::Object(map) => {
            let whole = Value::Object(map.clone()).to_string();
            Fields::new(map).word(&["message", "code"]).or(Some(whole))
        }
        value => text(value).filter(|text| !text.is_empty()),
    }
}

/// For servers that do not say: by the exit code, else by `error`; silence is success only at a
/// regular end.
fn derive_success(result: &ExecutionResult) -> bool {
    let regular = !matches!(result.status, Status::Timeout | Status::Cancelled | Status::Failed);
    regular && result.exit_code.map_or(result.error.is_none(), |code| code == 0)
}

fn usage(mut fields: Fields) -> Usage {
    let mut count =
        |key: &str| fields.integer(&[key]).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Usage {
        cpu_time_ms: count("cpu_time_ms"),
        peak_memory_bytes: count("peak_memory_bytes"),
        wall_time_ms: count("wall_time_ms"),
    }
}

fn isolation(mut fields: Fields) -> Isolation {
    Isolation {
        level: fields.text(&["level"]).unwrap_or_default(),
        layers: fields.texts("layers"),
        missing: fields.texts("missing"),
    }
}

/// The array, or the singular `artifact` and `wasm_artifact` of other servers.
fn artifacts(fields: &mut Fields) -> Vec<Artifact> {
    let listed = fields.array(&["artifacts"]).unwrap_or_default();
    let mut found: Vec<Artifact> = listed
        .into_iter()
        .enumerate()
        .filter_map(|(index, value)| artifact(value, &index.to_string(), "file"))
        .collect();
    for (key, name, kind) in
        [("artifact", "artifact", "binary"), ("wasm_artifact", "artifact.wasm", "wasm")]
    {
        let single = fields.take(&[key]).and_then(|value| artifact(value, name, kind));
        // A server that sends both forms has one file.
        found.extend(single.filter(|_| found.is_empty() || key == "wasm_artifact"));
    }
    found
}

fn artifact(value: Value, name: &str, kind: &str) -> Option<Artifact> {
    let mut artifact = Artifact {
        filename: name.to_string(),
        kind: kind.to_string(),
        content: Vec::new(),
        url: None,
    };
    match value {
        Value::String(text) if is_link(&text) => artifact.url = Some(text),
        Value::String(text) => artifact.content = decode_base64(&text)?,
        Value::Object(map) => {
            let mut fields = Fields::new(map);
            match fields.base64(&["content_base64", "data", "content"]) {
                Some(content) => artifact.content = content,
                None => artifact.url = Some(fields.word(&["url"]).filter(|url| is_link(url))?),
            }
            if let Some(name) = fields.word(&["filename", "name"]) {
                artifact.filename = name;
            }
            artifact.kind = fields.word(&["kind"]).unwrap_or_else(|| {
                if artifact.filename.ends_with(".wasm") { "wasm" } else { kind }.to_string()
            });
        }
        _ => return None,
    }
    Some(artifact)
}

fn is_link(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}
