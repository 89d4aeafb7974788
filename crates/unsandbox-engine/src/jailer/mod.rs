// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's side of the jailer: the start of the process (`start.rs`), the link to it (`link.rs`), the launch of a
//! run (`launch.rs`), and the state of a run (`run.rs`, and `handle.rs` for other threads).

pub mod handle;
pub mod launch;
pub mod link;
pub mod run;
pub mod start;
pub mod token;
