// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(rustdoc::broken_intra_doc_links, rustdoc::bare_urls)]
//! Runs code in any language in a sandbox: on this machine, on a server of your own, or at unsandbox.com.
//!
//! # First program
//!
//! ```
//! use unsandbox::{Client, Request};
//!
//! let client = Client::from_env()?;
//! let result = client.execute(&Request::new("python", "print(6 * 7)"))?;
//! assert_eq!(result.stdout_text(), "42\n");
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`Client::execute`] waits for the end of the program. [`Client::run`] does the same with [`Request::detect`], and detects
//! the language. A client is cheap to clone and is shared by threads.
//!
//! # Results
//!
//! A program that fails is a result too: [`ExecutionResult`] has `success`, both outputs as bytes, the exit code or the
//! signal, and the limit that ended the program.
//!
//! ```
//! # use unsandbox::{Client, LimitKind, Limits, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! let result = client.execute(&Request::new("bash", "echo trouble >&2; exit 3"))?;
//! assert!(!result.success);
//! assert_eq!((result.exit_code, result.stderr_text().as_ref()), (Some(3), "trouble\n"));
//!
//! let limits = Limits { memory_bytes: Some(256 << 20), ..Limits::default() };
//! let request = Request::new("python", "x = bytearray(1 << 30)").limits(limits);
//! assert_eq!(client.execute(&request)?.limit, Some(LimitKind::Memory));
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! A request gives a program files, input, arguments and variables. Files that the program writes to `artifacts/` come
//! back; [`save_all`] writes them to a directory.
//!
//! ```
//! # use unsandbox::{Client, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! let request = Request::new("bash", r#"cat data.csv - > artifacts/all.txt; echo "$GREETING, $1""#)
//!     .input_file("data.csv", "1,2,3\n")
//!     .stdin("typed\n")
//!     .arg("world")
//!     .env("GREETING", "hello")
//!     .ttl(5);
//! let result = client.execute(&request)?;
//! assert_eq!(result.stdout_text(), "hello, world\n");
//! assert_eq!(result.artifacts[0].filename, "all.txt");
//! assert_eq!(result.artifacts[0].content, b"1,2,3\ntyped\n");
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! # Errors
//!
//! An [`Error`] says why there is no result: its [`ErrorCode`], one sentence, and whether the program may have run. A wrong
//! value of a request is an error before anything runs.
//!
//! ```
//! # use unsandbox::{Client, ErrorCode, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! let error = client.execute(&Request::new("pyhton", "print(1)")).unwrap_err();
//! assert_eq!(error.code(), ErrorCode::Argument);
//! assert_eq!(error.to_string(), "language \"pyhton\" is unknown; did you mean python?");
//! assert!(!error.may_have_run());
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`protocol::error::ERROR_TABLE`] has every code with its meaning and whether to try again.
//!
//! # Jobs
//!
//! A job goes on after the call that submitted it. Its id is enough to ask for it, to wait for it, or to cancel it.
//!
//! ```
//! # use std::time::Duration;
//! # use unsandbox::{Client, ErrorCode, Request, Status};
//! # let client = Client::builder().base_url("local:").build()?;
//! let job = client.execute_async(&Request::new("bash", "sleep 0.5; echo done"))?;
//! let early = client.wait_job(&job.job_id, Some(Duration::from_millis(20)));
//! assert_eq!(early.unwrap_err().code(), ErrorCode::Timeout); // the job goes on
//! assert_eq!(client.wait_job(&job.job_id, None)?.stdout_text(), "done\n");
//!
//! let job = client.execute_async(&Request::new("bash", "sleep 60"))?;
//! assert_eq!(client.cancel_job(&job.job_id)?.status, Status::Cancelled);
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`Client::job_events`] tells what happens to a job while it runs, and what has happened before.
//!
//! # Cancellation and deadlines
//!
//! [`Client::with`] adds options to one call: a token that cancels it from another thread, a deadline, a callback for
//! output, a stream as standard input. A call that is cancelled or late ends its program.
//!
//! ```
//! # use std::time::Duration;
//! # use unsandbox::{CallOptions, CancelToken, Client, ErrorCode, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! let token = CancelToken::new();
//! let watcher = token.clone();
//! std::thread::spawn(move || {
//!     std::thread::sleep(Duration::from_millis(100));
//!     watcher.cancel();
//! });
//! let options = CallOptions::new()
//!     .cancel(token)
//!     .deadline(Duration::from_secs(10))
//!     .on_output(|_, bytes| print!("{}", String::from_utf8_lossy(bytes)));
//! let error = client.with(options).execute(&Request::new("bash", "sleep 60")).unwrap_err();
//! assert_eq!(error.code(), ErrorCode::Cancelled);
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`Client::start_execute`] gives a [`Task`] for event loops: it can be waited for in slices, calls a function at its end,
//! and needs no thread at `local:`.
//!
//! ```
//! # use std::sync::mpsc;
//! # use unsandbox::{CallOptions, Client, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! let (sender, ends) = mpsc::channel();
//! let notify = Box::new(move || sender.send(()).expect("the receiver is there"));
//! let task = client.start_execute(Request::new("bash", "echo done"), CallOptions::new(), Some(notify))?;
//! ends.recv().expect("the task tells of its end");
//! let result = task.wait(None).expect("it has ended")?;
//! assert_eq!(result.stdout_text(), "done\n");
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! # Endpoints
//!
//! [`Client::from_env`] takes the endpoint from `UNSANDBOX_URL`, else the service if there is a key, else `local:`, the
//! engine in this process. [`ClientBuilder`] names it, with keys, timeouts, proxies and certificates. The same calls go to
//! each endpoint.
//!
//! ```
//! # use unsandbox::Client;
//! let here = Client::builder().base_url("local:").build()?;
//! let socket = Client::builder().base_url("unix:/run/unsandbox.sock").build()?;
//! let server = Client::builder().base_url("https://sandbox.example.org").api_key("key").build()?;
//! assert!(here.is_local() && !server.is_local());
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! A client connects when it is first used.
//!
//! ```no_run
//! # use unsandbox::{Client, Request};
//! let server = Client::builder().base_url("https://sandbox.example.org").api_key("key").build()?;
//! assert!(server.health()?.healthy);
//! println!("{}", server.execute(&Request::new("rust", r#"fn main() { println!("hello"); }"#))?.stdout_text());
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! [`Client::from_backend`] takes anything else that implements [`Backend`].
//!
//! # Isolation
//!
//! Each run at `local:` has a jail of its own. Its level is `full` where the machine allows namespaces, else `reduced`; every
//! result tells it. A client can insist on [`IsolationPolicy::Full`], and [`Client::probe`] says what this machine gives.
//!
//! ```
//! # use unsandbox::{Client, IsolationPolicy, Level, Request};
//! # let client = Client::builder().base_url("local:").build()?;
//! for layer in client.probe()?.layers.iter().filter(|layer| !layer.available) {
//!     println!("{}: {}; {}", layer.name, layer.detail, layer.fix);
//! }
//! let isolation = client.execute(&Request::new("bash", "true"))?.isolation.expect("the engine tells it");
//! println!("{} without {}", isolation.level, isolation.missing.join(", "));
//!
//! let strict = Client::builder().base_url("local:").isolation(IsolationPolicy::Full).build()?;
//! if client.probe()?.level == Some(Level::Full) {
//!     assert_eq!(strict.execute(&Request::new("bash", "true"))?.exit_code, Some(0));
//! }
//! # Ok::<(), unsandbox::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | on by default | what it adds |
//! |---|---|---|
//! | `engine` | yes | the engine behind `local:`, on Linux; elsewhere `local:` fails with `ISOLATION_UNAVAILABLE` |
//! | `socks` | yes | `socks5://` proxies on the way to a server |
//! | `platform-verifier` | no | `ClientBuilder::platform_verifier`: this system judges certificates |

mod artifact;
mod bounded;
mod builder;
mod call;
mod client;
mod config;
mod fork;
mod input;
mod job_events;
#[doc(hidden)]
pub mod key_file;
mod local;
mod observe;
mod remote;
mod task;
mod thread;

pub use artifact::{ArtifactRef, SaveArtifact, save_all, save_each, saved_names};
pub use builder::{ClientBuilder, Timeouts};
pub use call::{Call, CallOptions, OutputCallback};
pub use client::Client;
pub use config::SERVICE_URL;
pub use input::read_whole;
pub use job_events::JobEvents;
pub use observe::RequestEvent;
pub use remote::Remote;
pub use task::{Notify, Task};

/// The protocol in full: tables of errors, limits and languages, and the JSON of the wire.
pub use unsandbox_protocol as protocol;
pub use unsandbox_protocol::auth::Secret;
pub use unsandbox_protocol::backend::{Capabilities, Health, KeyInfo, LanguageInfo};
pub use unsandbox_protocol::isolation::Layer;
pub use unsandbox_protocol::usage::{KeyAllowance, KeyUsage};
pub use unsandbox_protocol::{
    Artifact, Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink,
    ExecutionResult, InputFile, Isolation, IsolationPolicy, Job, JobEvent, JobPage, Level,
    LimitKind, Limits, NetworkMode, Offsets, Page, Probe, RawJson, Request, Rerun, Status, Stream,
    Submission, Usage, ValidRequest,
};
