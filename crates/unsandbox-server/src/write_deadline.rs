// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream with a time limit and a minimum rate for writes, which hyper does not have. Without them, a client that reads
//! no reply would keep its memory and its connection for ever. It does little in one poll, so that a client that sends
//! without end lets others have their turns.

use crate::pace::{Pace, Progress};
use crate::places::Places;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that are read in one poll, about: a client sends frames of HTTP/2 that mean nothing as fast as they are read.
const POLL_BYTES: usize = 4 << 10;
/// Writes in one poll: many such frames get an answer, each in a write of its own.
const POLL_WRITES: usize = 4;

pub(crate) struct WriteDeadline<S> {
    stream: S,
    pace: Pace,
    places: Arc<Places>,
    /// Set while a reply is larger than what the client has accepted, until all of it is sent.
    slow: Option<Slow>,
    waits: Waits,
    done: Done,
}

/// What was done since the last pause.
#[derive(Default)]
struct Done {
    bytes: usize,
    writes: usize,
}

/// How much longer writes of HTTP/2 may wait: as long as the pause of the pace, less the time that they have waited, and
/// more for each byte by its rate. h2 flushes after about each frame, so that no flush shows the end of a reply.
struct Waits {
    left: Duration,
    since: Option<Instant>,
}

struct Slow {
    progress: Progress,
    /// When the connection is aborted; set while the client accepts nothing.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// `pace` starts anew for each reply that is not accepted at once.
    pub(crate) fn new(stream: S, pace: Pace, places: Arc<Places>) -> WriteDeadline<S> {
        let waits = Waits { left: pace.pause, since: None };
        WriteDeadline { stream, pace, places, slow: None, waits, done: Done::default() }
    }

    /// The result of a write, or an error if the reply is read too slowly.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>>
    where
        S: Unpin,
    {
        if self.done.is_enough(context) {
            return Poll::Pending;
        }
        self.done.writes += 1;
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), context) {
            if let (Some(slow), Ok(bytes)) = (&mut self.slow, &written) {
                slow.progress.moved(*bytes);
                slow.end = None;
            }
            self.waits.end(self.pace, *written.as_ref().unwrap_or(&0));
            return Poll::Ready(written);
        }
        let pace = self.pace;
        let waits_end = self.waits.begin();
        let slow = self.slow.get_or_insert_with(|| Slow { progress: pace.begin(), end: None });
        let mut end = slow.progress.end();
        if self.places.is_multiplexed() {
            end = end.min(waits_end);
        }
        let sleep = slow.end.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        ready!(sleep.as_mut().poll(context));
        let text = format!("the reply was taken too slowly: {}", slow.progress);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl Done {
    /// Whether that is enough for one poll. The task is polled again.
    fn is_enough(&mut self, context: &mut Context<'_>) -> bool {
        let is_enough = self.bytes >= POLL_BYTES || self.writes >= POLL_WRITES;
        if is_enough {
            *self = Done::default();
            context.waker().wake_by_ref();
        }
        is_enough
    }
}

impl Waits {
    /// A write waits. Returns how long it may.
    fn begin(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now) + self.left
    }

    /// Bytes were written.
    fn end(&mut self, pace: Pace, bytes: usize) {
        let waited = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        let earned = Duration::from_secs_f64(bytes as f64 / f64::from(pace.rate.max(1)));
        self.left = (self.left.saturating_sub(waited) + earned).min(pace.pause);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.done.is_enough(context) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.done.bytes += buffer.filled().len() - before;
        if read.is_pending() {
            this.done = Done::default();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes after it has written everything that it has.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if this.places.flushed() {
            this.slow = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_uses_time_up_and_bytes_earn_it_up_to_the_pause() {
        let pace = Pace { pause: Duration::from_secs(60), rate: 1024, deadline: None };
        let ago = |seconds| Some(Instant::now() - Duration::from_secs(seconds));
        let mut waits = Waits { left: pace.pause, since: None };
        waits.end(pace, 1 << 30);
        assert_eq!(waits.left, pace.pause);
        waits.since = ago(50);
        waits.end(pace, 20 * 1024);
        let left = waits.left.as_secs();
        assert!((20..30).contains(&left), "60 less a little more than 50, and 20: {left}");
        waits.since = ago(100);
        waits.end(pace, 1024);
        assert_eq!(waits.left.as_secs(), 1);
        assert!(waits.begin() <= Instant::now() + Duration::from_secs(1));
    }
}
