// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]
//! Types, limits, errors, languages and wire format of the unsandbox API, and the [`Backend`] trait, which runs code.
//! No I/O.

pub mod adopted;
pub mod auth;
pub mod backend;
pub mod cancel;
pub mod detect;
pub mod error;
pub mod events;
pub mod feed;
pub mod filename;
pub mod gauges;
pub mod isolation;
pub mod language;
pub mod limits;
pub mod net;
pub mod openapi;
pub mod outbox;
pub mod page;
pub mod printable;
pub mod quota;
pub mod request;
pub mod result;
pub mod result_fields;
pub mod rules;
pub mod share;
pub mod shell;
pub mod structure;
pub mod sync;
pub mod turns;
pub mod usage;
pub mod validate;
pub mod waiter;
pub mod webhook;
pub mod wire;

pub use backend::{Backend, CallContext, Event, EventSink, Owner, Stream, Submission};
pub use cancel::{CancelReason, CancelToken};
pub use error::{Error, ErrorCode};
pub use events::Offsets;
pub use feed::JobEvent;
pub use isolation::{Isolation, IsolationPolicy, Level, Probe};
pub use limits::Limits;
pub use page::{JobPage, Page};
pub use request::{InputFile, NetworkMode, Request, Rerun};
pub use result::{Artifact, ExecutionResult, Job, LimitKind, RawJson, Status, Usage};
pub use validate::ValidRequest;
