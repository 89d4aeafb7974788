// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request log: one line for each request, with its client, its job and its times, and without keys, queries and
//! bodies.

use crate::observe::metrics::{Metrics, template};
use crate::observe::request_id::RequestId;
use crate::observe::trace::{RequestTrace, SpanValue, Tracing};
use axum::body::Body;
use axum::http::{Method, Request};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unsandbox_protocol::ExecutionResult;
use unsandbox_protocol::sync::lock;

/// The status in the log of a request whose client left before the reply.
const CLIENT_LEFT: u16 = 499;

/// The other end of a connection, for the log.
#[derive(Clone, Debug)]
pub(crate) struct ClientAddress(Arc<str>);

impl ClientAddress {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn ip(address: IpAddr) -> ClientAddress {
        ClientAddress(address.to_canonical().to_string().into())
    }

    /// The user at the other end of a Unix socket.
    pub(crate) fn user(user: Option<u32>) -> ClientAddress {
        ClientAddress(user.map_or("uid:?".to_string(), |user| format!("uid:{user}")).into())
    }
}

/// What the operation knows of a request. Clones are of the same request.
#[derive(Clone, Debug)]
pub(crate) struct Noted(Arc<Mutex<Notes>>);

#[derive(Debug)]
struct Notes {
    id: RequestId,
    client: ClientAddress,
    key: Option<String>,
    job_id: Option<String>,
    language: Option<&'static str>,
    run_ms: Option<u64>,
    trace: Option<RequestTrace>,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub request_id: RequestId,
    /// The short name of its key; `None` without one.
    pub key: Option<String>,
    pub client: ClientAddress,
}

#[cfg(test)]
impl Noted {
    pub(crate) fn of_nobody() -> Noted {
        let ids = crate::observe::request_id::RequestIds::new().unwrap();
        Noted::new(ids.of(&axum::http::HeaderMap::new()), ClientAddress("?".into()), None)
    }
}

impl Noted {
    fn new(id: RequestId, client: ClientAddress, trace: Option<RequestTrace>) -> Noted {
        let (key, job_id, language, run_ms) = (None, None, None, None);
        let notes = Notes { id, client, key, job_id, language, run_ms, trace };
        Noted(Arc::new(Mutex::new(notes)))
    }

    pub(crate) fn key(&self, label: &str) {
        lock(&self.0).key = Some(label.to_string()).filter(|label| !label.is_empty());
    }

    pub(crate) fn job(&self, id: &str) {
        lock(&self.0).job_id = Some(id).filter(|id| !id.is_empty()).map(printable);
    }

    pub(crate) fn sender(&self) -> Sender {
        let notes = lock(&self.0);
        Sender {
            request_id: notes.id.clone(),
            key: notes.key.clone(),
            client: notes.client.clone(),
        }
    }

    pub(crate) fn trace(&self) -> Option<RequestTrace> {
        lock(&self.0).trace.clone()
    }

    pub(crate) fn language(&self, name: Option<&'static str>) {
        lock(&self.0).language = name;
    }

    pub(crate) fn ran(&self, result: &ExecutionResult) {
        lock(&self.0).run_ms = result.total_time_ms;
    }
}

/// Written when dropped, so that an abandoned request is logged, and counted, too.
pub(crate) struct LogLine {
    started: Instant,
    method: Method,
    path: String,
    metrics: Arc<Metrics>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) noted: Noted,
}

impl LogLine {
    pub(crate) fn begin(
        request: &mut Request<Body>,
        id: RequestId,
        metrics: Arc<Metrics>,
        tracing: Option<&Tracing>,
    ) -> LogLine {
        let trace = RequestTrace::of(request.headers(), tracing);
        let client = request.extensions_mut().remove::<ClientAddress>();
        let client = client.unwrap_or_else(|| ClientAddress("?".into()));
        LogLine {
            started: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_string(),
            metrics,
            status: CLIENT_LEFT,
            bytes: 0,
            noted: Noted::new(id, client, trace),
        }
    }
}

impl LogLine {
    /// The span of the request, by the conventions of OpenTelemetry for HTTP servers.
    fn export_span(&self) {
        let Some(trace) = self.noted.trace() else { return };
        let route = template(&self.path);
        let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        let method = if known.contains(&self.method) { self.method.as_str() } else { "_OTHER" };
        let text = |value: &str| SpanValue::Text(value.to_string());
        let mut attributes = vec![
            ("http.request.method", text(method)),
            ("http.route", text(route)),
            ("http.response.status_code", SpanValue::Number(self.status.into())),
        ];
        let notes = lock(&self.noted.0);
        attributes.push(("client.address", text(notes.client.as_str())));
        attributes.push(("unsandbox.request_id", text(notes.id.as_str())));
        let known = [
            ("unsandbox.key", notes.key.as_deref()),
            ("unsandbox.job_id", notes.job_id.as_deref()),
            ("unsandbox.language", notes.language),
        ];
        attributes.extend(known.into_iter().filter_map(|(name, it)| Some((name, text(it?)))));
        drop(notes);
        let error = (self.status >= 500).then(|| format!("HTTP {}", self.status));
        trace.export_request(format!("{method} {route}"), attributes, error);
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let LogLine { method, path, status, bytes, .. } = &*self;
        let took = self.started.elapsed();
        self.metrics.request(method.as_str(), path, *status, took);
        self.export_span();
        let (path, ms) = (printable(path), took.as_millis());
        let notes = lock(&self.noted.0);
        let (key, client) = (notes.key.as_deref(), notes.client.as_str());
        let shown = key.unwrap_or("-");
        let mut line =
            format!("{method} {path} {status} {ms} ms {bytes} bytes {shown} from {client}");
        if let Some(job_id) = &notes.job_id {
            let _ = write!(line, " job {job_id}");
        }
        if let Some(language) = notes.language {
            let _ = write!(line, " {language}");
        }
        if let Some(ms) = notes.run_ms {
            let _ = write!(line, " run {ms} ms");
        }
        let _ = write!(line, " request {}", notes.id);
        log::info!(
            target: "unsandbox::request",
            request_id = notes.id.as_str(),
            method = method.as_str(),
            path = path.as_str(),
            status = *status,
            duration_ms = u64::try_from(ms).unwrap_or(u64::MAX),
            bytes = *bytes,
            key = key,
            client = client,
            job_id = notes.job_id.as_deref(),
            language = notes.language,
            run_ms = notes.run_ms,
            trace_id = notes.trace.as_ref().map(RequestTrace::trace_id).as_deref();
            "{line}"
        );
    }
}

/// A path or an id in the log: one line of visible ASCII, at most 200 characters.
fn printable(path: &str) -> String {
    let mut shown: String =
        path.chars().take(200).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    if shown.is_empty() {
        shown.push('?');
    }
    shown
}
