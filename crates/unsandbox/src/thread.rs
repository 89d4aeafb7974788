// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of calls.

use std::thread::{Builder, JoinHandle};
use unsandbox_protocol::Error;

/// Starts a thread for a call; at most 15 bytes of its name are shown.
pub(crate) fn start(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    Builder::new().name(name.to_string()).spawn(body).map_err(|cause| {
        Error::internal("could not start a thread for this call").with_cause(cause)
    })
}
