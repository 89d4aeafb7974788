// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! Run code in any language in a sandbox: on this machine, at unsandbox.com, or on a server of your own.
//!
//! ```no_run
//! use unsandbox::{Client, Request};
//!
//! let client = Client::from_env()?;
//! let result = client.execute(&Request::new("python", "print(6 * 7)"))?;
//! assert_eq!(result.stdout, b"42\n");
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! A program that fails is a result with `success == false`. An [`Error`] says why there is none.

mod artifact;
mod builder;
mod call;
mod client;
mod config;
mod fork;
mod input;
#[doc(hidden)]
pub mod key_file;
mod local;
mod observe;
mod remote;
mod task;

pub use artifact::{ArtifactRef, SaveArtifact, save_all, save_each};
pub use builder::{ClientBuilder, Timeouts};
pub use call::{Call, CallOptions, OutputCallback};
pub use client::Client;
pub use config::SERVICE_URL;
pub use input::read_whole;
pub use observe::RequestEvent;
pub use remote::Remote;
pub use task::{Notify, Task};

/// The protocol in full: tables of errors, limits and languages, and the JSON of the wire.
pub use unsandbox_protocol as protocol;
pub use unsandbox_protocol::auth::Secret;
pub use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
pub use unsandbox_protocol::isolation::Layer;
pub use unsandbox_protocol::{
    Artifact, Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink,
    ExecutionResult, InputFile, Isolation, IsolationPolicy, Job, Level, LimitKind, Limits,
    NetworkMode, Probe, RawJson, Request, Status, Stream, Submission, Usage, ValidRequest,
};
