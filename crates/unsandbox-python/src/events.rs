// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of a job as Python's classes use them.

use crate::convert;
use crate::error::raise;
use crate::wait::tick;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use unsandbox::{JobEvent, Stream};

/// One reader of the events of a job.
#[derive(Debug)]
#[pyclass(frozen, module = "unsandbox._native")]
pub struct JobEvents {
    events: Mutex<unsandbox::JobEvents>,
}

impl JobEvents {
    pub fn new(events: unsandbox::JobEvents) -> JobEvents {
        JobEvents { events: Mutex::new(events) }
    }
}

/// Kind, job, stream, bytes, how many are missing, and the place behind the event.
type Parts<'py> = (
    &'static str,
    Option<Bound<'py, PyAny>>,
    Option<&'static str>,
    Bound<'py, PyBytes>,
    u64,
    (u64, u64),
);

#[pymethods]
impl JobEvents {
    /// Waits for the next event; None after the last one.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Parts<'py>>> {
        let tick = tick(py)?;
        loop {
            let (next, at) = py.detach(|| {
                let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                let next = events.next_within(tick);
                (next, events.offsets())
            });
            match next {
                Poll::Pending => py.check_signals()?,
                Poll::Ready(None) => return Ok(None),
                Poll::Ready(Some(Err(error))) => return Err(raise(py, &error)),
                Poll::Ready(Some(Ok(event))) => {
                    return parts(py, event, (at.stdout, at.stderr)).map(Some);
                }
            }
        }
    }
}

fn parts(py: Python<'_>, event: JobEvent, at: (u64, u64)) -> PyResult<Parts<'_>> {
    let none = || PyBytes::new(py, b"");
    let of_job = |kind, job| Ok((kind, Some(convert::job(py, job)?), None, none(), 0, at));
    match event {
        JobEvent::Queued(job) => of_job("queued", job),
        JobEvent::Started(job) => of_job("started", job),
        JobEvent::Finished(job) => of_job("finished", job),
        JobEvent::Output { stream, bytes, .. } => {
            let name = name(stream);
            Ok((name, None, Some(name), PyBytes::new(py, &bytes), 0, at))
        }
        JobEvent::Gap { stream, len, .. } => Ok(("gap", None, Some(name(stream)), none(), len, at)),
        _ => Ok(("unknown", None, None, none(), 0, at)),
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}
