// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of a job, which the caller takes one by one when it likes.

use crate::boundary::{ffi, free, give_out, handle_mut, required};
use crate::client::{client_of, unsandbox_client};
use crate::error::unsandbox_error;
use crate::job::{JobBox, unsandbox_job};
use crate::options::{call_options, unsandbox_options};
use crate::status::{unsandbox_code, unsandbox_kind_of_event, unsandbox_stream};
use crate::text::{Text, give_raw, text};
use std::ffi::c_char;
use std::task::Poll;
use std::time::Duration;
use unsandbox::{JobEvent, JobEvents, Offsets, Stream};
use unsandbox_protocol::Error;

/// A reader of the events of one job. Belongs to one thread at a time.
pub struct unsandbox_events {
    events: JobEvents,
}

/// One thing that happened to a job. Never changed: any thread may read it.
pub struct unsandbox_event {
    kind: unsandbox_kind_of_event,
    stream: i32,
    offset: u64,
    data: Text,
    missing_bytes: u64,
    job: Option<JobBox>,
    at: Offsets,
}

impl unsandbox_event {
    fn new(event: JobEvent, at: Offsets) -> unsandbox_event {
        use unsandbox_kind_of_event::*;
        let none = |kind| unsandbox_event {
            kind,
            stream: 0,
            offset: 0,
            data: Text::new(Vec::new()),
            missing_bytes: 0,
            job: None,
            at,
        };
        let of_job = |kind, job| unsandbox_event { job: Some(JobBox::new(job)), ..none(kind) };
        match event {
            JobEvent::Queued(job) => of_job(UNSANDBOX_EVENT_QUEUED, job),
            JobEvent::Started(job) => of_job(UNSANDBOX_EVENT_STARTED, job),
            JobEvent::Finished(job) => of_job(UNSANDBOX_EVENT_FINISHED, job),
            JobEvent::Output { stream, offset, bytes } => {
                let stream = stream_number(stream);
                let data = Text::new(bytes);
                unsandbox_event { stream, offset, data, ..none(UNSANDBOX_EVENT_OUTPUT) }
            }
            JobEvent::Gap { stream, offset, len } => {
                let stream = stream_number(stream);
                unsandbox_event { stream, offset, missing_bytes: len, ..none(UNSANDBOX_EVENT_GAP) }
            }
            _ => none(UNSANDBOX_EVENT_OTHER),
        }
    }
}

fn stream_number(stream: Stream) -> i32 {
    match stream {
        Stream::Stdout => unsandbox_stream::UNSANDBOX_STREAM_STDOUT as i32,
        Stream::Stderr => unsandbox_stream::UNSANDBOX_STREAM_STDERR as i32,
    }
}

/// Begins to read what happens to a job, and first what has happened before. The options' timeout
/// bounds the time until the last event, their token ends the reading; the job goes on.
///
/// @param client         shared; may be used by several threads.
/// @param job_id         borrowed for the call.
/// @param stdout_offset  bytes of standard output that the caller has: output comes from there on.
/// @param stderr_offset  the same of standard error.
/// @param options        borrowed for the call; NULL for the defaults.
/// @param events         receives a reader owned by the caller; free with unsandbox_events_free.
///                       Required.
/// @param err            receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, UNSANDBOX_ERR_NOT_FOUND, _CONFLICT, … At a server a job that is not there is an
///         error of unsandbox_events_next.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_events_new(
    client: *const unsandbox_client,
    job_id: *const c_char,
    job_id_len: usize,
    stdout_offset: u64,
    stderr_offset: u64,
    options: *const unsandbox_options,
    events: *mut *mut unsandbox_events,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(events, "events", || {
            let client = client_of(client)?;
            let job_id = text(job_id, job_id_len, "job_id")?;
            let from = Offsets { stdout: stdout_offset, stderr: stderr_offset };
            let events = client.with(call_options(options)).job_events(job_id, from)?;
            Ok(Box::into_raw(Box::new(unsandbox_events { events })))
        })
    })
}

/// Waits for the next event, at most timeout_ms milliseconds; 0 only looks, a negative number waits
/// without limit.
///
/// @param events  used by one thread at a time.
/// @param event   receives an event owned by the caller, free with unsandbox_event_free; NULL after the
///                last one. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL. No event follows it.
/// @return UNSANDBOX_OK; UNSANDBOX_PENDING, with nothing, when the time was over;
///         UNSANDBOX_ERR_NOT_FOUND, _JOB_LOST, _TIMEOUT, _CANCELLED, …
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_events_next(
    events: *mut unsandbox_events,
    timeout_ms: i64,
    event: *mut *mut unsandbox_event,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let out = required(event, "event")?;
        let reader = handle_mut(events, "events")?;
        let timeout = u64::try_from(timeout_ms).map_or(Duration::MAX, Duration::from_millis);
        let next = match reader.events.next_within(timeout) {
            Poll::Pending => return Ok(unsandbox_code::UNSANDBOX_PENDING as i32),
            Poll::Ready(next) => next.transpose()?,
        };
        let at = reader.events.offsets();
        let made = next.map(|event| Box::into_raw(Box::new(unsandbox_event::new(event, at))));
        give_out(out, "event", || Ok(made.unwrap_or(std::ptr::null_mut())))?;
        Ok::<i32, Error>(unsandbox_code::UNSANDBOX_OK as i32)
    })
}

/// Frees a reader, and ends the reading; NULL is fine. Its events stay, and the job goes on.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_events_free(events: *mut unsandbox_events) {
    ffi!(or(), { free(events) })
}

/// Frees an event and its job; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_free(event: *mut unsandbox_event) {
    ffi!(or(), { free(event) })
}

fn read<'a>(event: *const unsandbox_event) -> Option<&'a unsandbox_event> {
    crate::boundary::optional_handle(event)
}

/// What happened: UNSANDBOX_EVENT_…; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_kind(event: *const unsandbox_event) -> i32 {
    ffi!(or 0, { read(event).map_or(0, |it| it.kind as i32) })
}

/// Of output and of a gap, the stream: UNSANDBOX_STREAM_…; else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_stream(event: *const unsandbox_event) -> i32 {
    ffi!(or 0, { read(event).map_or(0, |it| it.stream) })
}

/// Of output and of a gap, how many bytes of the stream came before; else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_offset(event: *const unsandbox_event) -> u64 {
    ffi!(or 0, { read(event).map_or(0, |it| it.offset) })
}

/// Of output, the bytes as written; else empty. A character may be cut in two.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return borrowed until the event is freed; NULL only for NULL.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_data(
    event: *const unsandbox_event,
    len: *mut usize,
) -> *const u8 {
    ffi!(or std::ptr::null(), {
        match read(event) {
            Some(it) => give_raw(it.data.ptr().cast(), it.data.len(), len),
            None => give_raw(std::ptr::null(), 0, len),
        }
    })
}

/// Of a gap, the number of bytes that are not kept any more; else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_missing_bytes(event: *const unsandbox_event) -> u64 {
    ffi!(or 0, { read(event).map_or(0, |it| it.missing_bytes) })
}

/// The job, of UNSANDBOX_EVENT_QUEUED, _STARTED and _FINISHED; the last one has its result. Else NULL.
///
/// @return borrowed until the event is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_job(event: *const unsandbox_event) -> *const unsandbox_job {
    ffi!(or std::ptr::null(), {
        read(event).and_then(|it| it.job.as_ref()).map_or(std::ptr::null(), JobBox::public)
    })
}

/// Bytes of standard output up to and with the event, from which another reader goes on.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_stdout_offset(event: *const unsandbox_event) -> u64 {
    ffi!(or 0, { read(event).map_or(0, |it| it.at.stdout) })
}

/// The same of standard error.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_event_stderr_offset(event: *const unsandbox_event) -> u64 {
    ffi!(or 0, { read(event).map_or(0, |it| it.at.stderr) })
}
