// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jailer as the engine sees it: the process that is started (`start.rs`), the link to it (`link.rs`), a run that is
//! handed to it (`launch.rs`) and what is heard of that run (`run.rs`, and `handle.rs` for other threads).

pub mod handle;
pub mod launch;
pub mod link;
pub mod run;
pub mod start;
pub mod token;
