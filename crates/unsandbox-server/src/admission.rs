// SPDX-License-Identifier: MIT OR Apache-2.0
//! The middleware in front of every operation: it checks the key (or, on a server without keys, that no page of
//! another site sent the request), reads the body, and writes the log line.

use crate::access_log::{LogLine, Noted};
use crate::body;
use crate::budget::Reservation;
use crate::connections::{Exchange, Stage};
use crate::console;
use crate::key_policy::KeyPolicy;
use crate::keys::{Caller, Found, Keys};
use crate::observe::request_id::REQUEST_ID_NAME;
use crate::party::{Party, Peer};
use crate::rate_limit::Counted;
use crate::reply::{self, FEATURES_NAME, Refusal, RefusedAs};
use crate::sent::Sent;
use crate::state::State;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State as Shared;
use axum::http::header::{CONTENT_ENCODING, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use axum::middleware::Next;
use axum::response::IntoResponse;
use std::sync::Arc;
use unsandbox_protocol::auth::is_loopback;
use unsandbox_protocol::rules::shown;
use unsandbox_protocol::wire::{COMPAT_HEADER, Shape};
use unsandbox_protocol::{Error, ErrorCode, Owner};

/// Operations without a key take no body, so a small limit is enough.
const UNAUTHENTICATED_BODY_LIMIT: usize = 4096;

/// The kind of socket that a request came by; set by the accept loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    Tcp,
    Unix,
}

/// A request that passed all checks: its sender and its whole body, for the operation.
#[derive(Clone)]
pub(crate) struct Admitted {
    pub caller: Caller,
    /// What the key may do, as it was when the request came.
    pub policy: Arc<KeyPolicy>,
    pub exchange: Exchange,
    pub body: Bytes,
    /// The memory of the body.
    pub memory: Arc<Reservation>,
    /// The form of results that the client asked for.
    pub shape: Shape,
    /// For the line in the log.
    pub noted: Noted,
}

/// Checks a request and runs its operation. Every request gets a reply and a log line; if the client left before
/// the reply, there is still the log line.
pub(crate) async fn admit(
    Shared(state): Shared<Arc<State>>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let exchange = request.extensions_mut().remove::<Exchange>().expect("set by the connection");
    let id = state.request_ids.of(request.headers());
    let metrics = state.observer.metrics.clone();
    let mut line =
        LogLine::begin(&mut request, id.clone(), metrics.clone(), state.tracing.as_ref());
    let noted = line.noted.clone();
    let mut counted = None;
    let mut response = match read_request(&state, request, &exchange, noted, &mut counted).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let jobs = state.backend.key_store();
    let features = state.idempotency.store().features(jobs.as_deref());
    response.headers_mut().insert(FEATURES_NAME, features);
    response.headers_mut().insert(REQUEST_ID_NAME, id.header());
    if let Some(counted) = counted {
        counted.write(response.headers_mut());
    }
    console::guard(response.headers_mut());
    if let Some(RefusedAs(word)) = response.extensions_mut().remove() {
        metrics.refused(&word);
    }
    line.status = response.status().as_u16();
    line.bytes = response.body().size_hint().lower();
    response.map(|body| Body::new(Sent::new(body, exchange, metrics.sent_bytes.clone())))
}

/// The request with its whole body and its caller, or the refusal.
async fn read_request(
    state: &State,
    request: Request<Body>,
    exchange: &Exchange,
    noted: Noted,
    counted: &mut Option<Counted>,
) -> Result<Request<Body>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let set = state.keys.now();
    let keys = &set.keys;
    let checked = check_head(keys, &parts);
    // Before the body is read, where the key is known to be its sender's.
    let owner = match &checked {
        Ok(Some(found)) => found.verified_owner().cloned(),
        Ok(None) if keys.is_empty() => Some(Owner::default()),
        _ => None,
    };
    let is_counted = is_counted(parts.uri.path());
    let over = owner.as_ref().filter(|_| is_counted);
    let over = over.and_then(|owner| state.over_rate(&set, owner, counted));
    // The connection may still count for the sender of an earlier request.
    let party = party_of(&checked, exchange.peer());
    let is_unauthenticated = !keys.is_empty() && !matches!(checked, Ok(Some(_)));
    exchange.count_for(party);
    if is_unauthenticated || checked.is_err() {
        exchange.stays_idle();
    }
    let found = match (checked, over) {
        (Ok(found), None) => found,
        (Err(error), _) | (_, Some(error)) => {
            body::drain(&parts.headers, body, state.body_limit).await;
            return Err(error.into());
        }
    };
    let limit = if is_unauthenticated { UNAUTHENTICATED_BODY_LIMIT } else { state.body_limit };
    // A request without a body waits for none.
    let stage = if body.is_end_stream() { Stage::Reply } else { Stage::Body };
    let mut memory = state.bodies.reserve(exchange);
    let reading = body::read(&parts.headers, body, limit, state.body_pace, &mut memory);
    let bytes = if is_unauthenticated {
        reading.await?
    } else {
        exchange.wait_in(stage, reading).await.map_err(reply::evicted)??
    };
    state.observer.metrics.received_bytes.inc_by(bytes.len() as u64);
    let is_found = found.is_some();
    let caller = match found {
        None => Caller::default(),
        Some(found) => sender_of(state, found, &parts, &bytes, exchange).await?,
    };
    if owner.is_none()
        && is_found
        && is_counted
        && let Some(error) = state.over_rate(&set, &caller.owner, counted)
    {
        return Err(error.into());
    }
    noted.key(&caller.label);
    let shape = shape_of(state, &parts.headers);
    let (exchange, memory) = (exchange.clone(), Arc::new(memory));
    let policy = set.policy(&caller.owner).clone();
    let admitted = Admitted { caller, policy, exchange, body: bytes, memory, shape, noted };
    parts.extensions.insert(admitted);
    Ok(Request::from_parts(parts, Body::empty()))
}

/// The sender of a request whose body is there, once its signature is checked.
async fn sender_of(
    state: &State,
    found: Found,
    parts: &Parts,
    body: &Bytes,
    exchange: &Exchange,
) -> Result<Caller, Error> {
    let (method, uri, signed) = (parts.method.clone(), parts.uri.clone(), body.clone());
    let size = if found.is_signed() { body.len() } else { 0 };
    let verify = move || {
        let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
        found.verify(method.as_str(), target, &signed)
    };
    let caller = state.workers.run_sized(size, exchange.party(), verify).await?;
    exchange.count_for(Party::Key(caller.owner.clone()));
    Ok(caller)
}

/// The party of a request by its head alone.
pub(crate) fn party_of_head(keys: &Keys, parts: &Parts, peer: Peer) -> Party {
    party_of(&check_head(keys, parts), peer)
}

fn party_of(checked: &Result<Option<Found>, Error>, peer: Peer) -> Party {
    match checked {
        Ok(Some(found)) => found.party(peer),
        _ => Party::Peer(peer, None),
    }
}

/// The key of a request, if it needs one, by its head alone.
fn check_head(keys: &Keys, parts: &Parts) -> Result<Option<Found>, Error> {
    let found = if keys.is_empty() {
        let via = parts.extensions.get::<Via>().copied().unwrap_or(Via::Tcp);
        refuse_web_pages(parts, via)?;
        None
    } else if parts.uri.path() == "/readyz" {
        // It needs no key, and tells more with one; with one that is not known here it is as without.
        keys.find(&parts.headers).ok()
    } else if is_open(parts.uri.path()) {
        None
    } else {
        Some(keys.find(&parts.headers)?)
    };
    refuse_encoded(&parts.headers)?;
    Ok(found)
}

/// The form of results that a request asks for.
fn shape_of(state: &State, headers: &HeaderMap) -> Shape {
    let lean = headers.get(COMPAT_HEADER).is_some_and(|value| value == "0");
    match (lean, state.compat) {
        (true, _) => Shape::Lean,
        (false, true) => Shape::Compat,
        (false, false) => Shape::Once,
    }
}

/// Whether a path needs no key.
fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/healthz" | "/languages") || path.starts_with(console::FOLDER)
}

/// Whether a request counts for the rate of its key: what watches the server does not.
fn is_counted(path: &str) -> bool {
    !is_open(path) && !matches!(path, "/readyz" | "/metrics")
}

/// Without keys, a page of another site must not run code here. There are two attacks: a simple request, which carries the
/// page's `Origin`, and a host name of the attacker that resolves to this machine (DNS rebinding).
fn refuse_web_pages(parts: &Parts, via: Via) -> Result<(), Error> {
    let forbidden = |message: String| Err(Error::new(ErrorCode::Permission, message));
    let headers = &parts.headers;
    let hosts = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let hosts: Vec<_> = hosts.chain(authority).collect();
    if via == Via::Tcp
        && let Some(host) = hosts.iter().find(|host| !is_loopback(host))
    {
        let shown = shown(host);
        return forbidden(format!(
            "the header Host, {shown}, is not a loopback name, and the server has no keys; ask it by 127.0.0.1 or \
             localhost, or, for clients of another machine or behind a proxy, start it with --keys"
        ));
    }
    // At a Unix socket any Host may come, so that no page is known to be this server's own.
    let own = hosts.first().copied().filter(|_| via == Via::Tcp);
    let mut pages = headers.get_all(ORIGIN).iter().map(|value| ("Origin", value));
    let page = pages.find(|(_, origin)| !is_origin_of(origin, own));
    let site = headers.get("sec-fetch-site").filter(|site| match site.as_bytes() {
        b"none" => false,
        b"same-origin" => own.is_none(),
        // A link on another site may open the console: a page that no frame shows, and with nothing of anybody in it.
        _ => {
            parts.uri.path() != "/"
                || headers.get("sec-fetch-mode").is_none_or(|it| it != "navigate")
        }
    });
    if let Some((name, value)) = page.or(site.map(|value| ("Sec-Fetch-Site", value))) {
        let shown = shown(value.to_str().unwrap_or("?"));
        return forbidden(format!(
            "requests of web pages of other sites (the header {name}, {shown}) are refused while the server has no \
             keys; start it with --keys"
        ));
    }
    Ok(())
}

/// Whether an `Origin` is that of the pages which this server gives under a `Host`.
fn is_origin_of(origin: &HeaderValue, host: Option<&str>) -> bool {
    let origin = origin.to_str().unwrap_or("?");
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// Refuses compressed bodies, which are not decoded. Without this check the error would be about invalid JSON.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Error> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    match encodings.find(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        Some(encoding) => Err(reply::encoded_body(&String::from_utf8_lossy(encoding))),
        None => Ok(()),
    }
}
