// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]
//! The embedded engine: runs programs on this machine in a rootless sandbox. A
//! [`Backend`](unsandbox_protocol::Backend).
//!
//! One execution: `engine.rs` takes it, `programs/` finds its language's programs and says what to do, `jobs/` gives it a
//! place in the queue, `jailer/` hands it to the jailer, `reactor.rs` hears of it, and `jobs/` again keeps its result.
//! `core.rs` is what callers and the reactor share. What a `semitrusted` run reaches, it reaches through `egress/`.

mod core;
mod egress;
mod engine;
mod jailer;
mod jobs;
mod options;
mod programs;
mod reactor;

pub use egress::{EgressOptions, Resolver, SystemResolver};
pub use engine::Engine;
pub use options::EngineOptions;
