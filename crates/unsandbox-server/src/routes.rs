// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operations. Each reads its request with the decoders of unsandbox-protocol, asks the backend, and answers
//! with the encoders of unsandbox-protocol.

use crate::admission::{self, Via};
use crate::connections::{Exchange, Stage};
use crate::console::{console_file, console_page};
use crate::encoded::{Made, encode, encode_job, numbered, size_of};
use crate::events::{self, Live};
use crate::idempotency::{fingerprint, parse_key};
use crate::observe::scrape;
use crate::openapi::document;
use crate::reply::{self, Refusal};
use crate::runs::{Completion, End, ended};
use crate::state::State;
use crate::submit::{Accepted, Order, job_of_end, submit};
use crate::usage::usage;
use crate::webhooks;
use crate::workers::spawn_blocking;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use unsandbox_protocol::backend::{Health, KeyInfo, stopping};
use unsandbox_protocol::wire::{self, Incoming, Shape};
use unsandbox_protocol::{
    CallContext, Error, ErrorCode, ExecutionResult, Job, Owner, ValidRequest,
};

/// The tier of every key of this server. The backend would report the tier of an engine without a server.
const TIER: &str = "self-hosted";
/// The longest wait of a long poll.
const WAIT_MAX: Duration = Duration::from_secs(wire::WAIT_MAX_SECONDS);

type Reply = Result<Response<Body>, Refusal>;

pub(crate) fn router(state: Arc<State>, via: Via) -> Router {
    Router::new()
        .route("/execute", post(execute))
        .route("/execute/async", post(execute_async))
        .route("/run", post(run))
        .route("/run/async", post(run_async))
        .route("/jobs", get(list_jobs))
        .route("/jobs/{id}", get(get_job).delete(cancel_job))
        .route("/jobs/{id}/events", get(job_events))
        .route("/jobs/{id}/cancel", post(cancel_job))
        .route("/jobs/{id}/record", delete(delete_job))
        .route("/languages", get(languages))
        .route("/keys/validate", post(validate_key))
        .route("/usage", get(usage))
        .route("/services", get(services))
        .route("/sessions", get(sessions))
        .route("/snapshots", get(snapshots))
        .route("/images", get(images))
        .route("/health", get(health))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(document))
        .route("/", get(console_page))
        .route("/console/{name}", get(console_file))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        // Inside `admit`, so that a request that panics is logged too.
        .layer(CatchPanicLayer::custom(|_| Refusal(reply::bug()).into_response()))
        .layer(middleware::from_fn_with_state(state.clone(), admission::admit))
        .layer(Extension(via))
        .with_state(state)
}

/// Which of the two request formats a submission has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Execute,
    Run,
}

type Shared = axum::extract::State<Arc<State>>;
type Admitted = Extension<admission::Admitted>;

async fn execute(state: Shared, admitted: Admitted, parts: Parts) -> Reply {
    take(state, admitted, parts, Family::Execute, false).await
}

async fn execute_async(state: Shared, admitted: Admitted, parts: Parts) -> Reply {
    take(state, admitted, parts, Family::Execute, true).await
}

async fn run(state: Shared, admitted: Admitted, parts: Parts) -> Reply {
    take(state, admitted, parts, Family::Run, false).await
}

async fn run_async(state: Shared, admitted: Admitted, parts: Parts) -> Reply {
    take(state, admitted, parts, Family::Run, true).await
}

/// All four submissions.
async fn take(
    axum::extract::State(state): Shared,
    Extension(admission::Admitted { caller, policy, exchange, body, memory, shape, noted }): Admitted,
    parts: Parts,
    family: Family,
    asynchronous: bool,
) -> Reply {
    let key = parts.headers.get(wire::IDEMPOTENCY_KEY_HEADER);
    let key = key.map(|key| parse_key(key.as_bytes())).transpose()?;
    let with_key = key.is_some();
    // Only a backend that keeps jobs may know a key of another store, and only the body says whether it is a job.
    if let Some(key) = key.as_deref().filter(|_| !state.stores_jobs) {
        state.generation_of_key(key)?;
    }
    let from = events::asked(&parts)?.filter(|_| !asynchronous);
    // A repeated submission with a known key is not new work.
    if state.is_stopping() && !with_key {
        return Err(stopping().into());
    }
    let (owner, caps) = (caller.owner, state.caps);
    let (observer, webhooks) = (state.observer.clone(), state.webhooks.clone());
    let (request, memory, listed, print, facts, warnings) = state
        .workers
        .run_sized(body.len(), exchange.party(), move || {
            let Incoming { request, wants_async, warnings } = decode(family, &parts, &body)?;
            let mut request = ValidRequest::new(Cow::Owned(request))?;
            let listed = asynchronous || wants_async;
            webhooks::check(webhooks.as_deref(), &request, listed)?;
            if policy.needs_language() && request.language().is_none() {
                request = request.detect()?;
            }
            policy.apply(&mut request, &caps)?;
            let print = with_key.then(|| fingerprint(kind(family, &parts), query(&parts), &body));
            let facts = observer.facts(&request);
            Ok((request, memory, listed, print, facts, warnings))
        })
        .await?;
    let (keyed, stored_key) = match key.zip(print) {
        Some((key, fingerprint)) => state.keys_of(listed, key, fingerprint)?,
        None => (None, None),
    };
    let wait = if listed { None } else { Some(exchange.start_run().map_err(reply::run_refused)?) };
    noted.language(request.language().map(|language| language.name));
    let order = Order {
        owner: owner.clone(),
        party: exchange.party(),
        request,
        memory,
        listed,
        is_live: wait.is_some() && from.is_some(),
        keyed,
        stored_key,
        noted: noted.clone(),
        facts,
    };
    let accepted = submit(&state, order).await?;
    let Some(wait) = wait else {
        return accepted_reply(&state, &exchange, &owner, accepted, shape, &warnings).await;
    };
    if let Some(from) = from {
        let live = Live { accepted, wait, exchange, owner, shape, warnings, from };
        return events::of_run(state, live).await;
    }
    let result = result_of(accepted.finished(&state, exchange.party(), &owner).await?)?;
    drop(wait);
    noted.ran(&result);
    result_reply(&state, &exchange, result, warnings, shape).await
}

/// The reply with the result of a synchronous run.
async fn result_reply(
    state: &State,
    exchange: &Exchange,
    result: Arc<ExecutionResult>,
    warnings: Vec<String>,
    shape: Shape,
) -> Reply {
    let id = result.job_id.clone().unwrap_or_default();
    let made = Made {
        about: size_of(&result),
        bytes: |(result, _): &(Arc<ExecutionResult>, _), shape| wire::result_bytes(result, shape),
        encode: |(result, warnings): &(_, Vec<String>), shape| {
            wire::with_warnings(wire::encode_result(result, shape), warnings)
        },
    };
    Ok(encode(state, exchange, &id, (result, warnings), shape, made).await?.into_reply())
}

/// The reply to an asynchronous submission.
async fn accepted_reply(
    state: &State,
    exchange: &Exchange,
    owner: &Owner,
    accepted: Accepted,
    shape: Shape,
    warnings: &[String],
) -> Reply {
    // A job that was accepted before may have ended by now; the reply then has its result.
    let may_have_ended = accepted.is_repeated() || accepted.job.status.is_terminal();
    let now = match may_have_ended {
        true => state.job(exchange.party(), owner, &accepted.job.job_id).await.ok(),
        false => None,
    };
    match now.filter(|job| job.status.is_terminal()) {
        Some(job) => {
            Ok(encode_job(state, exchange, job, shape, wire::encode_job).await?.into_reply())
        }
        None => {
            let submitted = wire::encode_submitted(&accepted.job);
            Ok(reply::json(wire::with_warnings(submitted, warnings)))
        }
    }
}

fn decode(family: Family, parts: &Parts, body: &[u8]) -> Result<Incoming, Error> {
    match family {
        Family::Execute => wire::decode_request(body),
        Family::Run => {
            if let Some(form) = content_type(parts).filter(|media| is_form(media)) {
                return Err(reply::form_body(form));
            }
            wire::decode_run(query(parts), content_type(parts), body)
        }
    }
}

/// How a body is decoded, for the fingerprint: the same bytes of another kind are another request.
fn kind(family: Family, parts: &Parts) -> &'static str {
    match family {
        Family::Execute => "execute",
        Family::Run if wire::run_is_json(content_type(parts)) => "run-json",
        Family::Run => "run",
    }
}

fn is_form(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/x-www-form-urlencoded" || media.starts_with("multipart/")
}

fn content_type(parts: &Parts) -> Option<&str> {
    parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok())
}

fn query(parts: &Parts) -> &str {
    parts.uri.query().unwrap_or("")
}

fn result_of(job: Job) -> Result<Arc<ExecutionResult>, Error> {
    let Job { job_id, result, .. } = numbered(job);
    let mut result =
        result.ok_or_else(|| Error::internal("a finished job came without its result"))?;
    if result.job_id.is_none() && !job_id.is_empty() {
        Arc::make_mut(&mut result).job_id = Some(job_id);
    }
    Ok(result)
}

async fn list_jobs(
    axum::extract::State(state): Shared,
    Extension(admitted): Admitted,
    RawQuery(query): RawQuery,
) -> Reply {
    let page = wire::decode_page(query.as_deref().unwrap_or(""))?;
    let (is_all, party) = (page.is_all(), admitted.exchange.party());
    let jobs = state.jobs(party, &admitted.caller.owner, page).await?;
    // Clients of the service get what they know.
    Ok(reply::json(if is_all {
        wire::encode_jobs(&jobs.jobs)
    } else {
        wire::encode_job_page(&jobs)
    }))
}

async fn get_job(
    axum::extract::State(state): Shared,
    Extension(admitted): Admitted,
    id: JobId,
    RawQuery(query): RawQuery,
) -> Reply {
    let id = job_id(id)?;
    admitted.noted.job(&id);
    let wait = parse_wait(query.as_deref().unwrap_or(""))?;
    let owner = &admitted.caller.owner;
    let party = admitted.exchange.party();
    let mut job = state.job(party.clone(), owner, &id).await?;
    if let (Some(wait), false) = (wait, job.status.is_terminal()) {
        let (sink, end) = Completion::watching();
        state.backend.watch(&id, &CallContext::of(owner.clone()), sink)?;
        let end = tokio::time::timeout(wait, ended(end));
        job = match admitted.exchange.wait_in(Stage::LongPoll, end).await {
            Ok(Ok(end)) => job_of_end(&state, party, owner, &id, end).await?,
            // The wait is over, or the connection is evicted.
            _ => state.job(party, owner, &id).await?,
        };
    }
    let job = encode_job(&state, &admitted.exchange, job, admitted.shape, wire::encode_job).await?;
    Ok(job.into_reply())
}

type JobId = Result<Path<String>, PathRejection>;

/// The id in the path; an id that is not text belongs to no job.
fn job_id(id: JobId) -> Result<String, Error> {
    match id {
        Ok(Path(id)) => Ok(id),
        Err(_) => Err(Error::new(ErrorCode::NotFound, "the job id in the path is not UTF-8 text")),
    }
}

/// `wait=SECONDS` of a query, at most the longest wait.
fn parse_wait(query: &str) -> Result<Option<Duration>, Error> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("wait=")) else {
        return Ok(None);
    };
    match text.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds).min(WAIT_MAX))),
        Err(_) => {
            let shown: String = text.chars().take(40).collect();
            Err(Error::argument(format!(
                "wait is {shown:?}; it takes whole seconds, at most {}",
                WAIT_MAX.as_secs()
            )))
        }
    }
}

async fn cancel_job(
    axum::extract::State(state): Shared,
    Extension(admitted): Admitted,
    id: JobId,
) -> Reply {
    let id = job_id(id)?;
    admitted.noted.job(&id);
    let owner = &admitted.caller.owner;
    let context = CallContext::of(owner.clone());
    let (sink, end) = Completion::watching();
    state.backend.cancel(&id, &context, sink)?;
    let end: End = ended(end).await;
    let job = job_of_end(&state, admitted.exchange.party(), owner, &id, end).await?;
    let admission::Admitted { exchange, shape, .. } = &admitted;
    let job = encode_job(&state, exchange, job, *shape, wire::encode_cancelled).await?;
    Ok(job.into_reply())
}

/// A path of its own: `DELETE /jobs/{id}` cancels, also a job that has ended.
async fn delete_job(
    axum::extract::State(state): Shared,
    Extension(admitted): Admitted,
    id: JobId,
) -> Reply {
    let id = job_id(id)?;
    admitted.noted.job(&id);
    state.delete_job(admitted.exchange.party(), &admitted.caller.owner, &id).await?;
    Ok(reply::json(wire::encode_deleted(&id)))
}

async fn job_events(
    axum::extract::State(state): Shared,
    Extension(admitted): Admitted,
    id: JobId,
    parts: Parts,
) -> Reply {
    let id = job_id(id)?;
    admitted.noted.job(&id);
    let from = events::place(&parts.headers, parts.uri.query())?;
    events::of_job(state, admitted, id, from).await
}

async fn languages(axum::extract::State(state): Shared) -> Reply {
    let backend = state.backend.clone();
    let made = state.languages(spawn_blocking(move || {
        Ok(wire::encode_languages(&backend.languages(&CallContext::default())?))
    }));
    let bytes = made.await?;
    let mut response = reply::json(String::new());
    *response.body_mut() = Body::from(bytes);
    Ok(response)
}

async fn validate_key(axum::extract::State(state): Shared, Extension(admitted): Admitted) -> Reply {
    // The key was checked by `admit`; the other fields come from the backend.
    let (backend, party) = (state.backend.clone(), admitted.exchange.party());
    let ask = move || backend.validate_key(&CallContext::default());
    let limits = state.key_limits(&admitted.caller.owner);
    let info =
        KeyInfo { tier: Some(TIER.to_string()), ..state.workers.question(party, ask).await? };
    Ok(reply::json(wire::encode_server_key_info(&info, Some(limits))))
}

/// These four the service has, and this server has not: its clients ask for the lists, and read empty ones.
async fn services() -> Reply {
    empty_list("services")
}

async fn sessions() -> Reply {
    empty_list("sessions")
}

async fn snapshots() -> Reply {
    empty_list("snapshots")
}

async fn images() -> Reply {
    empty_list("images")
}

fn empty_list(name: &str) -> Reply {
    Ok(reply::json(wire::encode_empty_list(name)))
}

async fn health(axum::extract::State(state): Shared) -> Reply {
    let store = state.idempotency.store().name();
    let jobs = state.backend.key_store();
    let (status, trouble) = if state.is_stopping() {
        (wire::STOPPING.to_string(), Some(stopping()))
    } else {
        let Health { healthy, status, .. } = state.health().await?;
        let trouble = (!healthy).then(|| reply::unhealthy(&status));
        (status, trouble)
    };
    let code = if trouble.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = wire::encode_server_health(&status, &store, jobs.as_deref(), trouble.as_ref());
    Ok(reply::with_status(code, body))
}

/// The process answers.
async fn alive() -> Reply {
    Ok(reply::json(wire::encode_alive()))
}

async fn ready(axum::extract::State(state): Shared, Extension(admitted): Admitted) -> Reply {
    let with_details = !state.needs_keys || !admitted.caller.label.is_empty();
    let (is_ready, body) = state.ready(with_details).await?;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(reply::with_status(status, body))
}

async fn metrics(axum::extract::State(state): Shared) -> Reply {
    Ok(scrape::reply(state.observer.metrics.clone()).await?)
}

async fn unknown_path(uri: Uri) -> Refusal {
    reply::not_found(uri.path()).into()
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    reply::method_not_allowed(method.as_str(), uri.path()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_as_another_kind_of_body_are_another_request() {
        let print = |family, content_type: &str| {
            let request = axum::http::Request::post("/run").header(CONTENT_TYPE, content_type);
            let parts = request.body(()).unwrap().into_parts().0;
            fingerprint(kind(family, &parts), query(&parts), b"{}")
        };
        let json = print(Family::Run, "application/json");
        assert_eq!(json, print(Family::Run, "application/json; charset=utf-8"));
        assert_ne!(json, print(Family::Run, "text/plain"));
        assert_ne!(json, print(Family::Execute, "application/json"));
    }

    #[test]
    fn waits_are_whole_seconds_with_a_cap() {
        assert_eq!(parse_wait("").unwrap(), None);
        assert_eq!(parse_wait("wait=0").unwrap(), None);
        assert_eq!(parse_wait("a=1&wait=5").unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(parse_wait("wait=3600").unwrap(), Some(WAIT_MAX));
        for wrong in ["wait=", "wait=1.5", "wait=-1", "wait=x"] {
            assert!(parse_wait(wrong).unwrap_err().message().contains("seconds"), "{wrong}");
        }
    }
}
