// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of sinks, which are foreign code. A sink that panics must not end the engine's thread, and other sinks must
//! still get their end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use unsandbox_protocol::{Error, Event, EventSink, Job};

/// Reports an event; false if the sink panicked.
pub fn event(sink: &dyn EventSink, event: Event<'_>) -> bool {
    caught("an event", || sink.event(event)).is_some()
}

/// Reports the end.
pub fn end(sink: &dyn EventSink, end: Result<Job, Error>) {
    caught("the end of its job", || sink.finished(end));
}

/// Asks whether the sink still wants events. A sink that panics is kept, so that it gets its end.
pub fn is_wanted(sink: &dyn EventSink) -> bool {
    caught("a question", || sink.is_wanted()).unwrap_or(true)
}

/// Logs how a job ended and what ran it; nothing that its program wrote.
pub fn log(job: &Job) {
    let Some(result) = &job.result else { return };
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    log::debug!(
        "{}: {} is {} after {} ms: exit code {}, isolation {}, runtime {}",
        job.job_id,
        text(&job.language),
        job.status,
        result.total_time_ms.unwrap_or(0),
        result.exit_code.unwrap_or(-1),
        result.isolation.as_ref().map_or("", |it| &it.level),
        text(&result.runtime),
    );
}

/// Calls a sink; `None` if it panicked.
pub fn caught<T>(what: &str, call: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    if outcome.is_err() {
        log::error!("a sink panicked when it was told of {what}");
    }
    outcome.ok()
}
