// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces: the place of a request in the trace of its client (W3C Trace Context), and the spans of a request and its run.
//! They go to a sink, which sends them on; the server links no library of OpenTelemetry.

use axum::http::HeaderMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use unsandbox_protocol::auth::{from_hex, hex};
use unsandbox_protocol::{Job, Usage};

/// The longest `tracestate` that is kept.
const STATE_MAX: usize = 512;

/// Takes finished spans. Called on the threads of the server: it must not wait.
pub trait SpanSink: Send + Sync + fmt::Debug {
    fn export(&self, span: Span);
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Tracing {
    pub sink: Arc<dyn SpanSink>,
    /// The share of requests without a `traceparent` that are traced, 0 to 1. One with a `traceparent` is traced if that
    /// says so.
    pub root_ratio: f64,
}

/// One finished span.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    pub name: String,
    pub trace_id: [u8; 16],
    pub id: [u8; 8],
    /// The span that it is a part of; `None` at the root of a trace.
    pub parent: Option<[u8; 8]>,
    /// Whether that is a span of the client.
    pub parent_is_remote: bool,
    /// A request, as against a part of one.
    pub is_request: bool,
    /// `tracestate` of the client.
    pub state: Option<String>,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed, if the server is at fault.
    pub error: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpanValue {
    Text(String),
    Number(i64),
}

/// The place of a request in a trace.
#[derive(Clone, Debug)]
pub(crate) struct RequestTrace {
    trace_id: [u8; 16],
    /// Of the span of the request.
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    state: Option<String>,
    /// `None` where it is not traced, or the server has no sink.
    sink: Option<Arc<dyn SpanSink>>,
    begun: (SystemTime, Instant),
}

impl RequestTrace {
    /// `None` without a sink for a request that brings no trace.
    pub(crate) fn of(headers: &HeaderMap, tracing: Option<&Tracing>) -> Option<RequestTrace> {
        let parent = Parent::of(headers);
        let mut random = [0; 24];
        if parent.is_none() && tracing.is_none() || getrandom::fill(&mut random).is_err() {
            return None;
        }
        let (new_trace, new_id) = (first(&random), first(&random[16..]));
        let trace_id = parent.as_ref().map_or(new_trace, |parent| parent.trace_id);
        let sampled = match (&parent, tracing) {
            (Some(parent), _) => parent.sampled,
            (None, tracing) => tracing.is_some_and(|it| is_sampled(trace_id, it.root_ratio)),
        };
        Some(RequestTrace {
            trace_id,
            id: new_id,
            parent: parent.as_ref().map(|parent| parent.id),
            state: parent.and_then(|parent| parent.state),
            sink: tracing.filter(|_| sampled).map(|it| it.sink.clone()),
            begun: (SystemTime::now(), Instant::now()),
        })
    }

    /// In lower-case hexadecimal, for the log.
    pub(crate) fn trace_id(&self) -> String {
        hex(&self.trace_id)
    }

    fn at(&self, when: Instant) -> SystemTime {
        let (wall, begun) = self.begun;
        match when.checked_duration_since(begun) {
            Some(since) => wall + since,
            None => wall - begun.duration_since(when),
        }
    }

    /// The span of the request itself.
    pub(crate) fn export_request(
        &self,
        name: String,
        attributes: Vec<(&'static str, SpanValue)>,
        error: Option<String>,
    ) {
        let Some(sink) = &self.sink else { return };
        sink.export(Span {
            name,
            trace_id: self.trace_id,
            id: self.id,
            parent: self.parent,
            parent_is_remote: self.parent.is_some(),
            is_request: true,
            state: self.state.clone(),
            start: self.begun.0,
            end: self.at(Instant::now()),
            attributes,
            error,
        });
    }

    /// A part of the request or of its job, which may end after the reply.
    fn export_part(&self, name: &str, start: Instant, end: Instant, job_id: &str) {
        let mut id = [0; 8];
        let Some(sink) = self.sink.as_ref().filter(|_| getrandom::fill(&mut id).is_ok()) else {
            return;
        };
        sink.export(Span {
            name: name.to_string(),
            trace_id: self.trace_id,
            id,
            parent: Some(self.id),
            parent_is_remote: false,
            is_request: false,
            state: self.state.clone(),
            start: self.at(start),
            end: self.at(end.max(start)),
            attributes: vec![("unsandbox.job_id", SpanValue::Text(job_id.to_string()))],
            error: None,
        });
    }

    /// The spans of a run that has ended: it waited, was compiled, ran, and its output and artifacts were collected.
    pub(crate) fn export_run(&self, job: &Job, accepted: Instant, started: Option<Instant>) {
        if self.sink.is_none() {
            return;
        }
        let ended = Instant::now();
        let times = Times::of(job, accepted, started, ended);
        let part = |name, start, end| self.export_part(name, start, end, &job.job_id);
        let Some(Times { build, run, collect }) = times else {
            return part("queue", accepted, ended);
        };
        part("queue", accepted, build);
        if build < run {
            part("build", build, run);
        }
        part("run", run, collect);
        part("collect", collect, ended);
    }
}

/// When the parts of a run began.
struct Times {
    build: Instant,
    run: Instant,
    collect: Instant,
}

impl Times {
    /// `None` for one whose program was not started.
    fn of(job: &Job, accepted: Instant, started: Option<Instant>, ended: Instant) -> Option<Times> {
        let result = job.result.as_deref()?;
        let wall = |usage: Option<Usage>| usage.map(|it| Duration::from_millis(it.wall_time_ms));
        let ran = wall(result.usage)?;
        // The start of a quick run need not be told.
        let run = started.or_else(|| ended.checked_sub(ran)).unwrap_or(ended).max(accepted);
        let compiled = wall(result.compile).unwrap_or_default();
        let build = run.checked_sub(compiled).unwrap_or(run).max(accepted);
        Some(Times { build, run, collect: (run + ran).min(ended) })
    }
}

/// What `traceparent` and `tracestate` say.
struct Parent {
    trace_id: [u8; 16],
    id: [u8; 8],
    sampled: bool,
    state: Option<String>,
}

impl Parent {
    /// `None` if the header is absent, repeated, or not in the form of version 00 or one that begins as it.
    fn of(headers: &HeaderMap) -> Option<Parent> {
        let mut given = headers.get_all("traceparent").iter();
        let only = given.next().filter(|_| given.next().is_none())?.to_str().ok()?.trim();
        let mut parts = only.splitn(5, '-');
        let [version, trace_id, id, flags] = [(); 4].map(|()| parts.next().unwrap_or(""));
        let [version] = bytes(version)?;
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        let (trace_id, id, [flags]) = (bytes(trace_id)?, bytes(id)?, bytes(flags)?);
        if trace_id == [0; 16] || id == [0; 8] {
            return None;
        }
        let states = headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok());
        let state = states.collect::<Vec<_>>().join(",");
        let state = Some(state).filter(|it| !it.is_empty() && it.len() <= STATE_MAX);
        Some(Parent { trace_id, id, sampled: flags & 1 == 1, state })
    }
}

/// The bytes of lower-case hexadecimal digits: the standard knows no others.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_hex(text).filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("there are more")
}

/// By the trace id, so that all servers decide the same.
fn is_sampled(trace_id: [u8; 16], ratio: f64) -> bool {
    let number = u64::from_be_bytes(first(&trace_id[8..])) >> 1;
    ratio >= 1.0 || (number as f64) < ratio * (1u64 << 63) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(value: &str) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", value.parse().unwrap());
        headers.insert("tracestate", "a=1".parse().unwrap());
        Parent::of(&headers)
    }

    #[test]
    fn a_traceparent_is_read_as_its_standard_says() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let given = parent(&format!("00-{id}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!((hex(&given.trace_id), hex(&given.id)), (id.into(), "00f067aa0ba902b7".into()));
        assert_eq!((given.sampled, given.state.as_deref()), (true, Some("a=1")));
        assert!(!parent(&format!("00-{id}-00f067aa0ba902b7-02")).unwrap().sampled);
        assert!(parent(&format!("cc-{id}-00f067aa0ba902b7-01-later")).is_some());
        for wrong in [
            "",
            "00",
            &format!("ff-{id}-00f067aa0ba902b7-01"),
            &format!("00-{id}-00f067aa0ba902b7-01-more"),
            &format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{id}-{}-01", "0".repeat(16)),
            &format!("00-{id}-00f067aa0ba902b7-1"),
        ] {
            assert!(parent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_share_of_traced_requests_follows_from_the_trace_id() {
        let id = |last: u64| first(&[[0; 8], last.to_be_bytes()].concat());
        assert!(is_sampled(id(u64::MAX), 1.0) && !is_sampled(id(0), 0.0));
        assert!(is_sampled(id(u64::MAX / 4), 0.5) && !is_sampled(id(u64::MAX / 4 * 3), 0.5));
    }
}
