// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream with a time limit and a minimum rate for writes. Without them, a client that reads no reply would keep
//! its memory and its connection for ever.

use crate::pace::{Pace, Progress};
use crate::places::Places;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(crate) struct WriteDeadline<S> {
    stream: S,
    pace: Pace,
    places: Arc<Places>,
    /// Set while a reply is larger than what the client has accepted, until all of it is sent.
    slow: Option<Slow>,
}

struct Slow {
    progress: Progress,
    /// When the connection is aborted; set while the client accepts nothing.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// `pace` starts anew for each reply that is not accepted at once.
    pub(crate) fn new(stream: S, pace: Pace, places: Arc<Places>) -> WriteDeadline<S> {
        WriteDeadline { stream, pace, places, slow: None }
    }

    /// The result of a write, or an error if the reply is read too slowly.
    fn watched(
        &mut self,
        context: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write {
            if let (Some(slow), Ok(bytes)) = (&mut self.slow, &written) {
                slow.progress.moved(*bytes);
                slow.end = None;
            }
            return Poll::Ready(written);
        }
        let pace = self.pace;
        let slow = self.slow.get_or_insert_with(|| Slow { progress: pace.begin(), end: None });
        let end = slow.progress.end();
        let sleep = slow.end.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        ready!(sleep.as_mut().poll(context));
        let text = format!("the reply was taken too slowly: {}", slow.progress);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watched(context, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.watched(context, write)
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
