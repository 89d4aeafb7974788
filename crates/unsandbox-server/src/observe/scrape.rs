// SPDX-License-Identifier: MIT OR Apache-2.0
//! The metrics as a reply: of the server itself, and of an address of their own, which needs no key.

use super::metrics::Metrics;
use crate::console;
use crate::reply::{self, Refusal};
use crate::workers::spawn_blocking;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, Uri, header};
use axum::routing::get;
use std::sync::Arc;
use unsandbox_protocol::Error;
use unsandbox_protocol::openapi::METRICS_TYPE;

pub(crate) async fn reply(metrics: Arc<Metrics>) -> Result<Response<Body>, Error> {
    let text = spawn_blocking(move || Ok(metrics.text())).await?;
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static(METRICS_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // The address of the metrics has no middleware that does.
    console::guard(response.headers_mut());
    Ok(response)
}

/// Serves the metrics and nothing else.
pub(crate) fn router(metrics: Arc<Metrics>) -> Router {
    let scrape = move || async move { reply(metrics).await.map_err(Refusal) };
    let unknown = |uri: Uri| async move { Refusal(reply::not_found(uri.path())) };
    Router::new().route("/metrics", get(scrape)).fallback(unknown)
}
