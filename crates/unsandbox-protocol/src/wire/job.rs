// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs: submitted, asked for, listed, cancelled. Flat beside nested on the way out, either on the way in.

use super::error::decode_error;
use super::json::Writer;
use super::result::{
    Identity, Shape, is_result, job_files, lone_result, result_from, write_common, write_extras,
    written_bytes,
};
use super::tolerant::{Content, Fields, Reply, malformed};
use crate::error::Error;
use crate::page::JobPage;
use crate::result::{ExecutionResult, Job, RawJson, Status};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// The reply to `/execute/async` and `/run/async`.
pub fn encode_submitted(job: &Job) -> String {
    let status = if job.status.is_terminal() { job.status.as_str() } else { "pending" };
    Writer::document(|w| {
        w.text("job_id", &job.job_id);
        w.text("status", status);
        w.text("message", "Job submitted");
        w.text_if("detected_language", job.detected_language.as_deref());
    })
}

/// The reply to `GET /jobs/{id}`. In [`Shape::Compat`] the result stands at the root too: most
/// clients read it there although the specification nests it.
pub fn encode_job(job: &Job, shape: Shape) -> String {
    Writer::document_of(job_bytes(job, shape), |w| write_job(w, job, shape))
}

pub(super) fn write_job(w: &mut Writer, job: &Job, shape: Shape) {
    w.text("job_id", &job.job_id);
    w.text("status", job.status.as_str());
    let flat = shape == Shape::Compat && job.result.is_some();
    if !flat {
        w.text_if("language", job.language.as_deref());
        w.text_if("detected_language", job.detected_language.as_deref());
        w.text_if("network_mode", job.network_mode.as_deref());
    }
    w.number_if("created_at", job.created_at);
    w.number_if("started_at", job.started_at);
    w.number_if("completed_at", job.completed_at);
    if let Some(result) = &job.result {
        write_result(w, result, shape);
    }
}

/// Bytes of [`encode_job`] or [`encode_cancelled`], and a little more.
pub fn job_bytes(job: &Job, shape: Shape) -> usize {
    let texts = if shape == Shape::Compat { 2 } else { 1 };
    let of = |result| written_bytes(result, shape, texts, job_files(result, shape));
    1024 + job.result.as_deref().map_or(0, of)
}

fn write_result(w: &mut Writer, result: &ExecutionResult, shape: Shape) {
    if shape == Shape::Compat {
        write_common(w, result, Identity::Beside, Shape::Once);
    }
    w.object("result", |w| {
        write_common(w, result, Identity::Beside, shape);
        write_extras(w, result, shape);
    });
}

/// The reply to `GET /jobs`. No `created_at`: clients disagree on whether it is text or a number.
pub fn encode_jobs(jobs: &[Job]) -> String {
    Writer::document(|w| write_jobs(w, jobs))
}

/// The reply to `GET /jobs` with a limit or a place to begin: it says whether the list goes on, too.
pub fn encode_job_page(page: &JobPage) -> String {
    Writer::document(|w| {
        write_jobs(w, &page.jobs);
        w.boolean("has_more", page.has_more);
    })
}

fn write_jobs(w: &mut Writer, jobs: &[Job]) {
    w.objects("jobs", jobs, |w, job| {
        w.text("job_id", &job.job_id);
        w.text("status", job.status.as_str());
        w.text_or_null("language", job.language.as_deref());
        w.text_if("network_mode", job.network_mode.as_deref());
        let time = job.created_at.and_then(|at| jiff::Timestamp::from_second(at).ok());
        w.text_if("submitted_at", time.map(|time| time.to_string()).as_deref());
    });
    w.number("count", jobs.len());
}

/// The reply to `DELETE /jobs/{id}`; a job that had ended already is given as it is.
pub fn encode_cancelled(job: &Job, shape: Shape) -> String {
    let cancelled = job.status == Status::Cancelled;
    Writer::document_of(job_bytes(job, shape), |w| {
        w.text("message", if cancelled { "Job cancelled" } else { "Job already finished" });
        w.text("job_id", &job.job_id);
        w.text("status", job.status.as_str());
        if let Some(result) = &job.result {
            if shape != Shape::Compat {
                w.boolean("success", result.success);
            }
            write_result(w, result, shape);
        }
    })
}

/// The reply to `DELETE /jobs/{id}/record`.
pub fn encode_deleted(job_id: &str) -> String {
    Writer::document(|w| {
        w.text("job_id", job_id);
        w.boolean("deleted", true);
    })
}

/// Reads the reply to `DELETE /jobs/{id}/record`: its status says everything.
pub fn decode_deleted(body: &[u8], http_status: u16) -> Result<(), Error> {
    match http_status {
        200..300 => Ok(()),
        _ => Err(decode_error(http_status, None, body)),
    }
}

/// The answer to a submission.
#[derive(Clone, PartialEq, Debug)]
pub enum Submitted {
    /// A job that waits or runs, and has to be polled.
    Job(Job),
    /// It has ended, and this is its result.
    Result(Box<ExecutionResult>),
}

/// Reads the reply to `/execute` or `/run`, which may be the result or a job that is still pending. A body
/// that is the caller's to give becomes the result's own JSON without a copy.
pub fn decode_submission_or_result<'a>(
    body: impl Into<Cow<'a, [u8]>>,
    http_status: u16,
) -> Result<Submitted, Error> {
    let (mut fields, raw) = accepted(body.into(), http_status)?;
    let Some(job_id) = job_id(&mut fields) else {
        // Without an id it can only be a result.
        return match is_result(&fields) {
            true => Ok(Submitted::Result(Box::new(lone_result(fields, raw)))),
            false => Err(no_job(&raw, http_status)),
        };
    };
    let (status, has_result) = state(&mut fields);
    if has_result {
        return Ok(Submitted::Result(Box::new(result_of(job_id, status, fields, raw))));
    }
    let mut job = Job::new(job_id, status);
    read_job(&mut job, fields, raw, false);
    Ok(Submitted::Job(job))
}

/// Reads the reply to `/execute/async` or `/run/async`. The job has its result if it ended already.
pub fn decode_submission(body: &[u8], http_status: u16) -> Result<Job, Error> {
    decode_job(body, http_status)
}

/// Reads the reply to `GET /jobs/{id}`; as [`decode_submission_or_result`], it takes over what it can.
pub fn decode_job<'a>(body: impl Into<Cow<'a, [u8]>>, http_status: u16) -> Result<Job, Error> {
    let (mut fields, raw) = accepted(body.into(), http_status)?;
    match job_id(&mut fields) {
        Some(job_id) => Ok(job_from(job_id, fields, raw)),
        None => Err(no_job(&raw, http_status)),
    }
}

/// The object of a reply that is not a refusal.
fn accepted(body: Cow<'_, [u8]>, http_status: u16) -> Result<(Fields, RawJson), Error> {
    match http_status {
        200..300 => Reply::object(body),
        _ => Err(decode_error(http_status, None, &body)),
    }
}

fn no_job(raw: &RawJson, http_status: u16) -> Error {
    malformed("a job", raw.as_bytes()).with_http_status(http_status)
}

fn job_id(fields: &mut Fields) -> Option<String> {
    fields.word(&["job_id", "id"])
}

/// Reads the reply to `GET /jobs`: `{"jobs": […]}` or the array alone; what has no id is left out.
pub fn decode_jobs(body: &[u8], http_status: u16) -> Result<Vec<Job>, Error> {
    decode_job_page(body, http_status).map(|(jobs, _)| jobs)
}

/// Reads the same with what a server that gives pages says: whether the list goes on. `None` if it gave the whole list.
pub fn decode_job_page(body: &[u8], http_status: u16) -> Result<(Vec<Job>, Option<bool>), Error> {
    if !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let mut has_more = None;
    let items = match Reply::read(body.into())?.content {
        Content::Other(Value::Array(items)) => items,
        Content::Object(mut fields) => {
            has_more = fields.boolean("has_more");
            fields.array(&["jobs"]).ok_or_else(|| malformed("a list of jobs", body))?
        }
        _ => return Err(malformed("a list of jobs", body)),
    };
    let read = |item: Value| {
        let raw = item.to_string().into();
        let Value::Object(map) = item else { return None };
        let mut fields = Fields::new(map);
        Some(job_from(job_id(&mut fields)?, fields, raw))
    };
    Ok((items.into_iter().filter_map(read).collect(), has_more))
}

/// Reads the reply to `DELETE /jobs/{id}`; an empty one says that the job was cancelled, and no more.
pub fn decode_cancelled(body: &[u8], http_status: u16, asked: &str) -> Result<Job, Error> {
    if !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let mut job = if body.iter().all(u8::is_ascii_whitespace) {
        Job::new(asked, Status::Cancelled)
    } else {
        let (mut fields, raw) = Reply::object(body.into())?;
        let status = fields.word(&["status", "state"]).map(|word| Status::parse(&word));
        // A word that is not an end ("cancelling", "ok") is passed over: the server said yes to a cancel.
        let status = status.filter(Status::is_terminal).unwrap_or(Status::Cancelled);
        let mut job = Job::new(job_id(&mut fields).as_deref().unwrap_or(asked), status);
        read_job(&mut job, fields, raw, true);
        job
    };
    if job.result.is_none() {
        job.result = Some(Arc::new(ExecutionResult {
            job_id: Some(job.job_id.clone()),
            exit_code: Some(crate::result::EXIT_CANCELLED),
            ..ExecutionResult::new(job.status.clone())
        }));
    }
    Ok(job)
}

fn job_from(job_id: String, mut fields: Fields, raw: RawJson) -> Job {
    let (status, has_result) = state(&mut fields);
    let mut job = Job::new(job_id, status);
    read_job(&mut job, fields, raw, has_result);
    job
}

/// The status of a job, and whether there is a result with it.
fn state(fields: &mut Fields) -> (Status, bool) {
    let word = fields.word(&["status", "state"]);
    let ended = fields.object_is_there("result") || fields.has("completed_at");
    let flat = is_result(fields);
    let status = match word {
        Some(word) => Status::parse(&word),
        None if ended || flat => Status::Completed,
        None => Status::Pending,
    };
    // An unknown status counts as an end only if the reply has a result or a time of completion.
    let has_result = status.is_terminal() || (matches!(status, Status::Other(_)) && ended);
    (status, has_result)
}

fn result_of(job_id: String, status: Status, fields: Fields, raw: RawJson) -> ExecutionResult {
    let mut result = result_from(fields, status, Some(raw));
    result.job_id = Some(job_id);
    result
}

/// Fills a job whose id and status are known.
fn read_job(job: &mut Job, mut fields: Fields, raw: RawJson, has_result: bool) {
    job.created_at = fields.time(&["created_at", "submitted_at"]);
    job.started_at = fields.time(&["started_at"]);
    job.completed_at = fields.time(&["completed_at"]);
    if has_result {
        let result = result_of(job.job_id.clone(), job.status.clone(), fields, raw.clone());
        job.language = result.language.clone();
        job.detected_language = result.detected_language.clone();
        job.network_mode = result.network_mode.clone();
        job.result = Some(Arc::new(result));
    } else {
        job.language = fields.word(&["language"]);
        job.detected_language = fields.word(&["detected_language"]);
        job.network_mode = fields.word(&["network_mode"]);
    }
    job.raw = Some(raw);
}
