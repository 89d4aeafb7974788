// SPDX-License-Identifier: MIT OR Apache-2.0
//! In the place of `otlp.rs` in a build without the feature `otlp`: `serve` sends no traces.

use crate::failure::Failure;
use crate::serve_args::ServeArgs;
use unsandbox_server::Tracing;

/// There is none.
pub(crate) enum Traces {}

impl Traces {
    pub(crate) fn start(_: &ServeArgs) -> Result<Option<Traces>, Failure> {
        Ok(None)
    }

    pub(crate) fn tracing(&self) -> Tracing {
        match *self {}
    }

    pub(crate) fn end(&self) {
        match *self {}
    }
}
