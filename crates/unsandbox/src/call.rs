// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a single call may have beside its request: a way to stop it, a deadline, streams.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::{CancelToken, Stream};

/// Receives output as the program writes it; called from the library's threads, must not block.
pub type OutputCallback = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Options of one call.
#[derive(Default)]
pub struct CallOptions {
    /// Ends the call from any thread: it fails with CANCELLED, and the program is ended where the
    /// endpoint can.
    pub cancel: CancelToken,
    /// How long the call may take; it fails with TIMEOUT. `None`: the client's setting, and by default
    /// long enough for queue, compiler and ttl.
    pub deadline: Option<Duration>,
    /// Live output from the local engine; a server's comes in one piece with the result.
    pub on_output: Option<OutputCallback>,
    /// Standard input as a stream, in place of `Request::stdin`; read to its end first for a server.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Submit as a job, so that cancelling the call also cancels the program at any server. Our own
    /// server does so without.
    pub cancel_job: bool,
}

impl CallOptions {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = cancel;
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub fn on_output(mut self, callback: impl Fn(Stream, &[u8]) + Send + Sync + 'static) -> Self {
        self.on_output = Some(Arc::new(callback));
        self
    }

    pub fn stdin(mut self, stdin: impl Read + Send + 'static) -> Self {
        self.stdin = Some(Box::new(stdin));
        self
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("cancel", &self.cancel)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
