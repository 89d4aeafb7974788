// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live events as server-sent events: `queued`, `started`, `stdout`, `stderr`, `gap`, `finished`, `error`. The id of an
//! event is the place in the output behind it, so that a reader resumes by the last id it has.

use super::error::{decode_error, status_of_error, write_error};
use super::job::{decode_job, encode_job, write_job};
use super::json::Writer;
use super::result::Shape;
use super::tolerant::{Fields, Reply, malformed};
use crate::error::{Error, ErrorCode};
use crate::events::{Offsets, Stream};
use crate::feed::JobEvent;
use crate::result::Job;

/// The media type of a stream of events, and what a request for one accepts.
pub const EVENT_STREAM: &str = "text/event-stream";
/// Header with the id of the last event that a client has.
pub const LAST_EVENT_ID_HEADER: &str = "last-event-id";
/// How often a server sends [`HEARTBEAT`] while nothing happens.
pub const EVENTS_HEARTBEAT_SECONDS: u64 = 15;
/// A comment, which readers pass over.
pub const HEARTBEAT: &str = ": heartbeat\n\n";

/// The longest character in UTF-8.
const CHARACTER_MAX_BYTES: usize = 4;

fn event(name: &str, at: Offsets, data: &str) -> String {
    format!("event: {name}\nid: {at}\ndata: {data}\n\n")
}

fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// The output of one job as events. A character is never cut between two of them while its rest may still come.
#[derive(Debug, Default)]
pub struct OutputEncoder {
    /// Behind the last byte that is in an event.
    at: Offsets,
    /// The begin of a character on each stream.
    held: [Vec<u8>; 2],
}

impl OutputEncoder {
    /// For the output behind `from`.
    pub fn new(from: Offsets) -> OutputEncoder {
        OutputEncoder { at: from, held: Default::default() }
    }

    /// The place from which a reader resumes.
    pub fn at(&self) -> Offsets {
        self.at
    }

    /// Drops the begin of a character that is held, to be read again from [`OutputEncoder::at`].
    pub fn rewind(&mut self) {
        self.held = Default::default();
    }

    /// The event for a piece of output, unless it is only a part of a character. A piece begins where the last one of
    /// its stream ended.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) -> Option<String> {
        let held = &mut self.held[stream as usize];
        held.extend_from_slice(bytes);
        let whole = held.len() - begun_character(held);
        let rest = held.split_off(whole);
        let bytes = std::mem::replace(held, rest);
        self.encode(stream, &bytes)
    }

    fn encode(&mut self, stream: Stream, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() {
            return None;
        }
        let offset = self.at.of(stream);
        self.at.set(stream, offset + bytes.len() as u64);
        let data = Writer::document_of(bytes.len() + 40, |w| write_output(w, offset, bytes));
        Some(event(stream_name(stream), self.at, &data))
    }

    /// The events for what is held, because nothing more comes on its stream.
    pub fn rest(&mut self) -> String {
        let [out, err] = std::mem::take(&mut self.held);
        let rest = [(Stream::Stdout, out), (Stream::Stderr, err)];
        rest.iter().filter_map(|(stream, bytes)| self.encode(*stream, bytes)).collect()
    }

    /// The event for output that is missing, after what is held of its stream.
    pub fn gap(&mut self, stream: Stream, len: u64) -> String {
        let held = std::mem::take(&mut self.held[stream as usize]);
        let held = self.encode(stream, &held).unwrap_or_default();
        let offset = self.at.of(stream);
        self.at.set(stream, offset + len);
        let data = Writer::document(|w| write_gap(w, stream, offset, len));
        held + &event("gap", self.at, &data)
    }
}

fn write_output(w: &mut Writer, offset: u64, bytes: &[u8]) {
    w.number("offset", offset);
    match std::str::from_utf8(bytes) {
        Ok(text) => w.text("text", text),
        Err(_) => w.base64("base64", bytes),
    }
}

fn write_gap(w: &mut Writer, stream: Stream, offset: u64, len: u64) {
    w.text("stream", stream_name(stream));
    w.number("offset", offset);
    w.number("bytes", len);
}

/// Events as one document, for a caller that asks for them again and again: `events`, each with its name as `event` and
/// the data that it has in a stream (of a job, as `job`), and `from`, the place behind them.
pub fn encode_events(events: &[JobEvent], at: Offsets) -> String {
    Writer::document(|w| {
        w.objects("events", events, |w, event| match event {
            JobEvent::Queued(job) => write_job_event(w, "queued", job),
            JobEvent::Started(job) => write_job_event(w, "started", job),
            JobEvent::Finished(job) => write_job_event(w, "finished", job),
            JobEvent::Output { stream, offset, bytes } => {
                w.text("event", stream_name(*stream));
                write_output(w, *offset, bytes);
            }
            JobEvent::Gap { stream, offset, len } => {
                w.text("event", "gap");
                write_gap(w, *stream, *offset, *len);
            }
        });
        w.text("from", &at.to_string());
    })
}

fn write_job_event(w: &mut Writer, name: &str, job: &Job) {
    w.text("event", name);
    w.object("job", |w| write_job(w, job, Shape::Once));
}

/// How many bytes at the end are the begin of a character.
fn begun_character(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(CHARACTER_MAX_BYTES - 1);
    // The last byte that is not the continuation of a character.
    let Some(lead) = bytes[from..].iter().rposition(|byte| !(0x80..0xc0).contains(byte)) else {
        return 0;
    };
    let tail = &bytes[from + lead..];
    let is_begun = std::str::from_utf8(tail)
        .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none());
    if is_begun { tail.len() } else { 0 }
}

/// The event `queued` or `started`.
pub fn encode_job_event(name: &str, at: Offsets, job: &Job, shape: Shape) -> String {
    event(name, at, &encode_job(job, shape))
}

/// The event `error`, after which the stream ends: the envelope of a refusal, with its status.
pub fn encode_error_event(at: Offsets, error: &Error) -> String {
    let data = Writer::document(|w| {
        write_error(w, error);
        w.number("http_status", status_of_error(error));
        w.number_if("retry_after_ms", error.retry_after_ms());
    });
    event("error", at, &data)
}

/// One event as it stands in a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// Empty where the stream has no `event` field.
    pub name: String,
    /// The lines of its data, with a line break between two.
    pub data: String,
    /// The last id of the stream so far.
    pub id: String,
}

/// Reads a stream of server-sent events, in pieces of any size.
#[derive(Debug)]
pub struct EventParser {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
    after_return: bool,
    is_first_line: bool,
    max_bytes: usize,
}

impl EventParser {
    /// A parser that takes events of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> EventParser {
        EventParser {
            line: Vec::new(),
            frame: Frame::default(),
            has_data: false,
            after_return: false,
            is_first_line: true,
            max_bytes,
        }
    }

    /// Takes the next piece; `each` gets every event that is complete with it.
    ///
    /// # Errors
    ///
    /// TOO_LARGE for an event over the limit, and whatever `each` fails with.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end])?;
            self.end_line(each)?;
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if is_return {
                self.after_return = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.extend(bytes)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.line.len() + self.frame.data.len() + bytes.len() > self.max_bytes {
            let max = self.max_bytes;
            let text = format!("an event of the stream is larger than the limit of {max} bytes");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, each: &mut dyn FnMut(Frame) -> Result<(), Error>) -> Result<(), Error> {
        let whole = std::mem::take(&mut self.line);
        let mut whole = match String::from_utf8(whole) {
            Ok(line) => line,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let marked = std::mem::replace(&mut self.is_first_line, false);
        let line = whole.strip_prefix('\u{feff}').filter(|_| marked).unwrap_or(&whole);
        if line.is_empty() {
            let id = self.frame.id.clone();
            let frame = std::mem::replace(&mut self.frame, Frame { id, ..Frame::default() });
            return match std::mem::take(&mut self.has_data) {
                true => each(frame),
                false => Ok(()),
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.frame.name = value.to_string(),
            "id" if !value.contains('\0') => self.frame.id = value.to_string(),
            "data" if self.has_data => {
                self.frame.data.push('\n');
                self.frame.data.push_str(value);
            }
            "data" => {
                // The line may be a large result, which is not copied.
                let before = whole.len() - value.len();
                whole.drain(..before);
                (self.frame.data, self.has_data) = (whole, true);
            }
            // A comment, or a field that has no meaning here.
            _ => {}
        }
        Ok(())
    }
}

/// What an event says.
#[derive(Debug)]
pub enum StreamEvent {
    /// Anything but the end.
    Job(JobEvent),
    /// The end: what `GET /jobs/{id}` gives.
    Finished(String),
    /// Why there is no end. The stream is over.
    Error(Error),
    /// An event of a later version.
    Unknown,
}

/// Reads an event.
///
/// # Errors
///
/// PROTOCOL if its data is not what its name says.
pub fn decode_stream_event(frame: Frame) -> Result<StreamEvent, Error> {
    let Frame { name, data, .. } = frame;
    Ok(match name.as_str() {
        "queued" => StreamEvent::Job(JobEvent::Queued(decode_job(data.into_bytes(), 200)?)),
        "started" => StreamEvent::Job(JobEvent::Started(decode_job(data.into_bytes(), 200)?)),
        "stdout" => StreamEvent::Job(decode_output(Stream::Stdout, &data)?),
        "stderr" => StreamEvent::Job(decode_output(Stream::Stderr, &data)?),
        "gap" => StreamEvent::Job(decode_gap(&data)?),
        "finished" => StreamEvent::Finished(data),
        "error" => {
            let (mut fields, _) = Reply::object(data.as_bytes().into())?;
            let number = |fields: &mut Fields, key| fields.integer(&[key]);
            let status = number(&mut fields, "http_status").and_then(|it| u16::try_from(it).ok());
            let error = decode_error(status.unwrap_or(500), None, data.as_bytes());
            let pause = number(&mut fields, "retry_after_ms").and_then(|it| u64::try_from(it).ok());
            StreamEvent::Error(match pause {
                Some(ms) => error.with_retry_after_ms(ms),
                None => error,
            })
        }
        _ => StreamEvent::Unknown,
    })
}

fn offset(fields: &mut Fields, key: &str) -> Option<u64> {
    fields.integer(&[key]).and_then(|it| u64::try_from(it).ok())
}

fn decode_output(stream: Stream, data: &str) -> Result<JobEvent, Error> {
    let (mut fields, _) = Reply::object(data.as_bytes().into())?;
    let bytes = match fields.text(&["text"]) {
        Some(text) => Some(text.into_bytes()),
        None => fields.base64(&["base64"]),
    };
    match (offset(&mut fields, "offset"), bytes) {
        (Some(offset), Some(bytes)) => Ok(JobEvent::Output { stream, offset, bytes }),
        _ => Err(malformed("an event with output", data.as_bytes())),
    }
}

fn decode_gap(data: &str) -> Result<JobEvent, Error> {
    let (mut fields, _) = Reply::object(data.as_bytes().into())?;
    let stream = match fields.text(&["stream"]).as_deref() {
        Some("stdout") => Some(Stream::Stdout),
        Some("stderr") => Some(Stream::Stderr),
        _ => None,
    };
    match (stream, offset(&mut fields, "offset"), offset(&mut fields, "bytes")) {
        (Some(stream), Some(offset), Some(len)) => Ok(JobEvent::Gap { stream, offset, len }),
        _ => Err(malformed("an event about a gap", data.as_bytes())),
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
