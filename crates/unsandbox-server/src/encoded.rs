// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encodes results and jobs: a small one on the event loop, a large one on a worker thread, after its memory is reserved.

use crate::budget::Reservation;
use crate::connections::Exchange;
use crate::reply;
use crate::state::State;
use crate::workers::INLINE_BYTES;
use axum::body::{Body, Bytes};
use axum::http::Response;
use std::sync::Arc;
use unsandbox_protocol::result::EXIT_UNKNOWN;
use unsandbox_protocol::wire::{self, Shape};
use unsandbox_protocol::{Error, ExecutionResult, Job};

/// How a text is made from a `T`.
pub(crate) struct Made<T> {
    /// Approximate size of the content, known without encoding it.
    pub about: usize,
    pub bytes: fn(&T, Shape) -> usize,
    pub encode: fn(&T, Shape) -> String,
}

/// A text, with its memory if it is large.
pub(crate) struct Encoded {
    text: String,
    memory: Option<Reservation>,
}

impl Encoded {
    /// The bytes, which hold their memory until they are sent.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.memory {
            Some(memory) => reply::held(memory, self.text),
            None => Bytes::from(self.text),
        }
    }

    pub(crate) fn into_reply(self) -> Response<Body> {
        let mut response = reply::json(String::new());
        *response.body_mut() = Body::from(self.into_bytes());
        response
    }
}

pub(crate) async fn encode<T: Send + Sync + 'static>(
    state: &State,
    exchange: &Exchange,
    job_id: &str,
    source: T,
    shape: Shape,
    made: Made<T>,
) -> Result<Encoded, Error> {
    let Made { about, bytes, encode } = made;
    if about <= INLINE_BYTES {
        return Ok(Encoded { text: encode(&source, shape), memory: None });
    }
    let measure = move || {
        let size = bytes(&source, shape);
        Ok((source, size))
    };
    let party = exchange.party();
    let (source, size) = state.workers.run_in_turn(party.clone(), measure).await?;
    let mut memory = state.replies.reserve(exchange);
    if !memory.enlarge(size).await {
        return Err(reply::no_room_for_reply(memory.limit(), job_id));
    }
    // The work owns the memory: the text takes it even after the client has left.
    let work = move || Ok((memory, encode(&source, shape)));
    let (memory, text) = state.workers.run_in_turn(party, work).await?;
    Ok(Encoded { text, memory: Some(memory) })
}

/// A job as `encode` writes it.
pub(crate) async fn encode_job(
    state: &State,
    exchange: &Exchange,
    job: Job,
    shape: Shape,
    encode_as: fn(&Job, Shape) -> String,
) -> Result<Encoded, Error> {
    let id = job.job_id.clone();
    let about = job.result.as_deref().map_or(0, size_of);
    let made = Made { about, bytes: wire::job_bytes, encode: encode_as };
    encode(state, exchange, &id, numbered(job), shape, made).await
}

pub(crate) fn size_of(result: &ExecutionResult) -> usize {
    let artifacts: usize = result.artifacts.iter().map(|artifact| artifact.content.len()).sum();
    result.stdout.len() + result.stderr.len() + artifacts
}

/// Sets a number as the exit code if it is unknown: clients expect a number.
pub(crate) fn numbered(mut job: Job) -> Job {
    if let Some(result) = &mut job.result
        && result.exit_code.is_none()
    {
        Arc::make_mut(result).exit_code = Some(EXIT_UNKNOWN);
    }
    job
}
