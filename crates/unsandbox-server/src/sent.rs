// SPDX-License-Identifier: MIT OR Apache-2.0
//! The body of a reply while it is sent. It is passed on in pieces and holds its exchange until the last one, so that
//! its connection does not count as idle before.

use crate::connections::Exchange;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Smaller than the connection's write buffer, which takes a piece before any of it is sent.
const PIECE_BYTES: usize = 64 * 1024;

pub(crate) struct Sent {
    body: Body,
    /// The rest of the last piece that came.
    rest: Bytes,
    /// Counts the bytes.
    count: Counter,
    _exchange: Exchange,
}

impl Sent {
    pub(crate) fn new(body: Body, exchange: Exchange, count: Counter) -> Sent {
        Sent { body, rest: Bytes::new(), count, _exchange: exchange }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        this.count.inc_by(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        with_rest(&self.rest, &self.body)
    }
}

/// The size of a body of which this rest is still to be passed on.
pub(crate) fn with_rest(rest: &Bytes, body: &Body) -> SizeHint {
    let (rest, body) = (rest.len() as u64, body.size_hint());
    let mut hint = SizeHint::new();
    hint.set_lower(rest + body.lower());
    if let Some(upper) = body.upper() {
        hint.set_upper(rest + upper);
    }
    hint
}
