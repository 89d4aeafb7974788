// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream whose other side has to take the replies that are written to it, in time and at a least rate: a reply
//! that nobody takes would keep its memory, and its connection, for ever.

use crate::connections::Handle;
use crate::pace::{Pace, Progress};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

pub(crate) struct WriteDeadline<S> {
    stream: S,
    pace: Pace,
    connection: Handle,
    /// From the moment when there is more of a reply than the other side takes, until all of it is sent.
    slow: Option<Slow>,
}

struct Slow {
    progress: Progress,
    /// When it is given up, set while nothing is taken.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// `pace` is begun anew with each reply that is not taken at once.
    pub(crate) fn new(stream: S, pace: Pace, connection: Handle) -> WriteDeadline<S> {
        WriteDeadline { stream, pace, connection, slow: None }
    }

    /// What a write came to, or that the reply is taken too slowly.
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

    /// hyper flushes once it has written everything that it has.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if this.connection.flushed() {
            this.slow = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
