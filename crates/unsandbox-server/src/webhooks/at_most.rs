// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream of which so many bytes are read and no more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) struct AtMost<S> {
    stream: S,
    left: usize,
}

impl<S> AtMost<S> {
    pub(super) fn new(stream: S, bytes: usize) -> AtMost<S> {
        AtMost { stream, left: bytes }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AtMost<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::other("the receiver sends too much")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AtMost<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_is_over_the_bound_is_an_error() {
        let mut read = Vec::new();
        AtMost::new(&b"12345"[..], 5).read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"12345");
        let error = AtMost::new(&b"12345"[..], 4).read_to_end(&mut Vec::new()).await.unwrap_err();
        assert!(error.to_string().contains("too much"), "{error}");
    }
}
