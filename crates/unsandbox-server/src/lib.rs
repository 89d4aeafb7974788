// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! The HTTP server of unsandbox, over any backend. It implements the wire protocol; the backend runs the programs.
//! Its functions block; inside is one small event loop, in which a waiting request needs no thread.

mod acceptance;
mod accepting;
mod access_log;
mod admission;
mod body;
mod budget;
mod caps;
mod connections;
mod console;
mod encoded;
mod events;
mod fair_queue;
mod fair_semaphore;
mod forwarded;
mod idempotency;
mod key_policy;
mod key_ring;
mod keys;
mod listen;
mod observe;
mod openapi;
mod pace;
mod party;
mod places;
mod rate_limit;
mod reply;
mod routes;
mod runs;
mod sent;
mod serve;
mod serve_connection;
mod state;
mod store;
mod streams;
mod submit;
mod systemd;
mod tls;
mod usage;
mod webhooks;
mod workers;
mod write_deadline;

pub use caps::Caps;
pub use forwarded::TrustedProxies;
pub use key_policy::{KeyPolicies, KeyPolicy, Rate};
pub use key_ring::KeyRing;
pub use keys::Keys;
pub use listen::Listen;
pub use observe::audit::AuditLog;
pub use observe::trace::{Span, SpanSink, SpanValue, Tracing};
pub use serve::{Bound, HandOver, Server, Sockets};
pub use state::ServerOptions;
pub use tls::Tls;
pub use webhooks::{Resolve, WebhookOptions};
