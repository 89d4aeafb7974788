// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live events of one job: what a server sends of them is reported to a sink, over as many requests as it takes. Each
//! request continues behind what the ones before it have brought.

use super::control::Control;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use unsandbox_protocol::feed::report_rest;
use unsandbox_protocol::wire::{self, EventParser, Frame, StreamEvent};
use unsandbox_protocol::{Error, Event, EventSink, ExecutionResult, Job, JobEvent, Offsets};

/// A stream on which nothing comes for so long is dead: a server says within a third of it that it is there.
pub(super) const SILENCE: Duration = Duration::from_secs(3 * wire::EVENTS_HEARTBEAT_SECONDS);

/// The events of one job on their way to a sink.
pub(super) struct Live<'a> {
    sink: &'a dyn EventSink,
    /// Is told of the job when the server names it.
    on_job: &'a dyn Fn(&Job),
    /// Behind the output that the sink has.
    at: Cell<Offsets>,
    has_begun: Cell<bool>,
    has_queued: Cell<bool>,
    has_started: Cell<bool>,
    has_moved: Cell<bool>,
}

/// How a stream ended.
pub(super) enum StreamEnd {
    /// The job, as its JSON.
    Finished(String),
    /// The error, and its JSON.
    Refused(Error, String),
}

/// Why a stream could not be read to its end.
pub(super) enum StreamFault {
    Io(io::Error),
    Malformed(Error),
}

impl<'a> Live<'a> {
    /// The events behind `from`. `on_job` is told of the job when the server names it.
    pub(super) fn new(
        sink: &'a dyn EventSink,
        from: Offsets,
        on_job: &'a dyn Fn(&Job),
    ) -> Live<'a> {
        let no = || Cell::new(false);
        Live {
            sink,
            on_job,
            at: Cell::new(from),
            has_begun: Cell::new(from != Offsets::default()),
            has_queued: no(),
            has_started: no(),
            has_moved: no(),
        }
    }

    /// The header with which a request continues; none before the first event.
    pub(super) fn last_event_id(&self) -> Option<String> {
        self.has_begun.get().then(|| self.at.get().to_string())
    }

    /// Whether anybody still wants the events.
    pub(super) fn is_wanted(&self) -> bool {
        self.sink.is_wanted()
    }

    /// Whether anything new has come since this was asked last.
    pub(super) fn take_progress(&self) -> bool {
        self.has_moved.take()
    }

    /// Reads a stream to its last event.
    pub(super) fn read(
        &self,
        mut body: impl Read,
        max_bytes: usize,
        control: &Control,
    ) -> Result<StreamEnd, StreamFault> {
        let (mut parser, mut buffer) = (EventParser::new(max_bytes), vec![0; 16 * 1024]);
        let end = RefCell::new(None);
        loop {
            let len = match body.read(&mut buffer) {
                Ok(0) => return Err(StreamFault::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StreamFault::Io(error)),
            };
            let mut each = |frame| {
                if let Some(last) = self.take(frame)? {
                    end.borrow_mut().get_or_insert(last);
                }
                Ok(())
            };
            parser.read(&buffer[..len], &mut each).map_err(StreamFault::Malformed)?;
            if let Some(end) = end.take() {
                // The end of the reply is all that is left; with it, the connection can be used again.
                let _ = body.read(&mut buffer);
                return Ok(end);
            }
            if !self.sink.is_wanted() {
                control.abandoned.cancel();
                return Err(StreamFault::Io(io::ErrorKind::ConnectionAborted.into()));
            }
        }
    }

    fn take(&self, frame: Frame) -> Result<Option<StreamEnd>, Error> {
        self.has_begun.set(true);
        let data = if frame.name == "error" { frame.data.clone() } else { String::new() };
        match wire::decode_stream_event(frame)? {
            StreamEvent::Finished(data) => return Ok(Some(StreamEnd::Finished(data))),
            StreamEvent::Error(error) => return Ok(Some(StreamEnd::Refused(error, data))),
            StreamEvent::Job(event) => self.report(event),
            StreamEvent::Unknown => {}
        }
        Ok(None)
    }

    fn report(&self, event: JobEvent) {
        let mut at = self.at.get();
        match event {
            JobEvent::Queued(job) => self.accepted(&job),
            JobEvent::Started(job) if !self.has_started.replace(true) => {
                self.has_moved.set(true);
                self.sink.event(Event::Started(&job));
            }
            JobEvent::Output { stream, offset, bytes } => {
                let Some((offset, bytes)) = at.behind(stream, offset, &bytes) else { return };
                self.has_moved.set(true);
                at.set(stream, offset + bytes.len() as u64);
                self.at.set(at);
                self.sink.event(Event::Output { stream, offset, bytes });
            }
            JobEvent::Gap { stream, offset, len } => {
                at.set(stream, at.of(stream).max(offset.saturating_add(len)));
                self.at.set(at);
            }
            _ => {}
        }
    }

    /// The server has named the job.
    pub(super) fn accepted(&self, job: &Job) {
        if self.has_queued.replace(true) {
            return;
        }
        self.has_moved.set(true);
        (self.on_job)(job);
        self.sink.event(Event::Accepted(job));
    }

    /// Reports the output of the result that no event has brought.
    pub(super) fn report_rest(&self, result: &ExecutionResult) {
        report_rest(result, self.at.get(), self.sink);
    }
}

impl fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("at", &self.at).finish_non_exhaustive()
    }
}
