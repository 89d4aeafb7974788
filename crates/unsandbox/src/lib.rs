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
//!
//! # Where code runs
//!
//! [`Client::from_env`] takes the endpoint from `UNSANDBOX_URL`, else the service if there is a key, else `local:`, the
//! engine in this process. A builder names it:
//!
//! ```no_run
//! # use unsandbox::Client;
//! let here = Client::builder().base_url("local:").build()?;
//! let server = Client::builder().base_url("https://sandbox.example.org").api_key("key").build()?;
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! The same calls go to each. [`Client::from_backend`] takes anything else that implements [`Backend`].
//!
//! # Options of a program
//!
//! ```no_run
//! # use unsandbox::{Client, Limits, Request};
//! # let client = Client::from_env()?;
//! let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
//! let request = Request::new("python", "print(open('data.csv').read(), input())")
//!     .input_file("data.csv", "1,2,3")
//!     .stdin("typed")
//!     .ttl(5)
//!     .limits(limits);
//! let result = client.execute(&request)?;
//! if let Some(limit) = result.limit {
//!     println!("ended by its limit on {}", limit.as_str());
//! }
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! # Options of a call
//!
//! [`Client::with`] adds a deadline, a token that cancels the call from another thread, and a callback for output:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use unsandbox::{CallOptions, Client, ErrorCode, Request};
//! # let client = Client::from_env()?;
//! let options = CallOptions::new()
//!     .deadline(Duration::from_secs(10))
//!     .on_output(|_, bytes| print!("{}", String::from_utf8_lossy(bytes)));
//! match client.with(options).execute(&Request::new("bash", "sleep 60")) {
//!     Err(error) if error.code() == ErrorCode::Timeout => println!("too slow"),
//!     other => println!("{:?}", other?.exit_code),
//! }
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! # Jobs
//!
//! ```no_run
//! # use unsandbox::{Client, Request};
//! # let client = Client::from_env()?;
//! let job = client.execute_async(&Request::new("bash", "sleep 1; echo done"))?;
//! let result = client.wait_job(&job.job_id, None)?;
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`Client::start_execute`] gives a [`Task`] instead, for event loops: it needs no thread at `local:`.

mod artifact;
mod bounded;
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
pub use unsandbox_protocol::backend::{Capabilities, Health, KeyInfo, LanguageInfo};
pub use unsandbox_protocol::isolation::Layer;
pub use unsandbox_protocol::{
    Artifact, Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink,
    ExecutionResult, InputFile, Isolation, IsolationPolicy, Job, Level, LimitKind, Limits,
    NetworkMode, Probe, RawJson, Request, Status, Stream, Submission, Usage, ValidRequest,
};
