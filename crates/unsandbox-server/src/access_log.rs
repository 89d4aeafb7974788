// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request log: one line for each request, with its client, its job and its times, and without keys, queries and
//! bodies.

use axum::body::Body;
use axum::http::Request;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unsandbox_protocol::ExecutionResult;
use unsandbox_protocol::sync::lock;

/// The status in the log of a request whose client left before the reply.
const CLIENT_LEFT: u16 = 499;

/// The other end of a connection, for the log.
#[derive(Clone)]
pub(crate) struct ClientAddress(Arc<str>);

impl ClientAddress {
    pub(crate) fn tcp(address: SocketAddr) -> ClientAddress {
        ClientAddress(address.ip().to_canonical().to_string().into())
    }

    /// The user at the other end of a Unix socket.
    pub(crate) fn user(user: Option<u32>) -> ClientAddress {
        ClientAddress(user.map_or("uid:?".to_string(), |user| format!("uid:{user}")).into())
    }
}

/// What the operation knows of a request. Clones are of the same request.
#[derive(Clone, Default)]
pub(crate) struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    key: String,
    job_id: String,
    language: Option<&'static str>,
    run_ms: Option<u64>,
}

impl Noted {
    pub(crate) fn key(&self, label: &str) {
        lock(&self.0).key = label.to_string();
    }

    pub(crate) fn job(&self, id: &str) {
        lock(&self.0).job_id = printable(id);
    }

    pub(crate) fn language(&self, name: Option<&'static str>) {
        lock(&self.0).language = name;
    }

    pub(crate) fn ran(&self, result: &ExecutionResult) {
        lock(&self.0).run_ms = result.total_time_ms;
    }
}

/// Written when dropped, so that an abandoned request is logged too.
pub(crate) struct LogLine {
    started: Instant,
    what: String,
    from: ClientAddress,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) noted: Noted,
}

impl LogLine {
    pub(crate) fn begin(request: &mut Request<Body>) -> LogLine {
        let from = request.extensions_mut().remove::<ClientAddress>();
        LogLine {
            started: Instant::now(),
            what: format!("{} {}", request.method(), printable(request.uri().path())),
            from: from.unwrap_or_else(|| ClientAddress("?".into())),
            status: CLIENT_LEFT,
            bytes: 0,
            noted: Noted::default(),
        }
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let LogLine { what, status, bytes, from, .. } = self;
        let ms = self.started.elapsed().as_millis();
        let notes = lock(&self.noted.0);
        let key = if notes.key.is_empty() { "-" } else { &notes.key };
        let mut line = format!("{what} {status} {ms} ms {bytes} bytes {key} from {}", from.0);
        if !notes.job_id.is_empty() {
            let _ = write!(line, " job {}", notes.job_id);
        }
        if let Some(language) = notes.language {
            let _ = write!(line, " {language}");
        }
        if let Some(ms) = notes.run_ms {
            let _ = write!(line, " run {ms} ms");
        }
        log::info!(target: "unsandbox::request", "{line}");
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
