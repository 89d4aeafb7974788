// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! The HTTP server of unsandbox, over any backend. It speaks the wire protocol and knows nothing of how
//! programs are run. Blocking from the outside; inside, one small event loop in which a waiting request
//! costs no thread.

mod acceptance;
mod body;
mod budget;
mod connections;
mod guard;
mod idempotency;
mod keys;
mod listen;
mod pace;
mod party;
mod reply;
mod routes;
mod runs;
mod sent;
mod serve;
mod state;
mod store;
mod submit;
mod turns;
mod workers;
mod write_deadline;

pub use keys::Keys;
pub use listen::Listen;
pub use serve::{Bound, Server};
pub use state::{Caps, ServerOptions};
