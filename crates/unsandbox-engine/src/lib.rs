// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(target_os = "linux")]
#![deny(unsafe_code)]
//! The embedded engine: runs programs on this machine in a rootless sandbox. A
//! [`Backend`](unsandbox_protocol::Backend).
//!
//! One execution: `engine.rs` accepts it, `programs/` finds the programs of its language and makes the plan,
//! `jobs/` queues it, `jailer/` sends it to the jailer, `reactor.rs` reads its events, and `jobs/` keeps its result.
//! `shared.rs` has the state that callers and the reactor share. `egress/` is the network gateway of `semitrusted` runs.

mod egress;
mod engine;
mod jailer;
mod jobs;
mod measured;
mod options;
mod programs;
mod reactor;
mod shared;

pub use egress::{EgressOptions, Resolver, SystemResolver, check_hosts, is_own as is_own_address};
pub use engine::Engine;
pub use options::EngineOptions;
