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
    pieces: Pieces,
    /// Counts the bytes.
    count: Counter,
    _exchange: Exchange,
}

impl Sent {
    pub(crate) fn new(body: Body, exchange: Exchange, count: Counter) -> Sent {
        Sent { pieces: Pieces::new(body), count, _exchange: exchange }
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
        let frame = ready!(this.pieces.poll_next(context, |length, _| length.min(PIECE_BYTES)));
        if let Some(Ok(frame)) = &frame {
            this.count.inc_by(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}

/// A body that is passed on in pieces.
pub(crate) struct Pieces {
    body: Body,
    /// The rest of the last data that came.
    rest: Bytes,
}

impl Pieces {
    pub(crate) fn new(body: Body) -> Pieces {
        Pieces { body, rest: Bytes::new() }
    }

    /// The next piece of the data, or what comes instead of data. `length_of` is told how many bytes are there and
    /// whether they are the last ones.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        length_of: impl FnOnce(usize, bool) -> usize,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = length_of(self.rest.len(), self.body.is_end_stream());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}
