// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]
//! The embedded engine: runs programs on this machine in a rootless sandbox. A
//! [`Backend`](unsandbox_protocol::Backend).
//!
//! One execution: `engine.rs` takes it, `runtimes.rs` finds its language's programs, `plan.rs` says
//! what to do, `jobs.rs` gives it a place in the queue, `launch.rs` hands it to the jailer (`start.rs`
//! has started that), `reactor.rs` hears of it, `run.rs` keeps its output and makes the result. What a
//! `semitrusted` run reaches, it reaches through `egress/`.

mod access;
mod core;
mod egress;
mod ending;
mod engine;
mod handle;
mod jobs;
mod launch;
mod link;
mod options;
mod outcome;
mod plan;
mod reactor;
mod run;
mod runtimes;
mod shims;
mod start;
mod stdin;
mod store;
mod temporary;
mod token;

pub use egress::{EgressOptions, Resolver, SystemResolver};
pub use engine::Engine;
pub use options::EngineOptions;
