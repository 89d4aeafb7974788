// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a request to the plan of its jail: the programs of this machine for its language (`runtimes.rs`; `access.rs`
//! checks that runs may use them), how output appears while a program runs (`live.rs`), and the plan of files, steps,
//! environment and limits (`plan.rs`).

pub mod access;
pub mod live;
pub mod plan;
pub mod runtimes;
pub mod shims;
pub mod stdin;
pub mod temporary;
