// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a request to what a jail is to do: which programs of this machine run its language (`runtimes.rs`, as far as runs
//! may reach them: `access.rs`), and the plan of files, steps, environment and limits (`plan.rs`).

pub mod access;
pub mod plan;
pub mod runtimes;
pub mod shims;
pub mod stdin;
pub mod temporary;
