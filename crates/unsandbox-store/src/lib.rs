// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! Durable jobs: [`Stored`] is a backend around a backend. A job is on disk before its id is told, and again before it
//! starts; its end is on disk before it is reported. Everything else goes to the inner backend as it comes.
//!
//! `stored.rs` is the trait, `submit.rs` takes jobs, `dispatch.rs` starts them by turns and saves their ends, `tick.rs`
//! is the periodic work, `writer.rs` commits, `rows.rs`, `keys.rs` and `webhooks.rs` have the statements, `outbox.rs` gives
//! webhooks to the server, `adopted.rs` the ends of jobs of other processes, `database.rs` is the file.

pub mod admin;
mod adopted;
mod clock;
mod database;
mod dispatch;
mod follow;
mod follower;
mod keys;
mod lease;
mod live;
mod outbox;
mod recovery;
mod retention;
mod rows;
mod shared;
mod stored;
mod submit;
mod tick;
mod webhooks;
mod writer;

pub use retention::Retention;
pub use shared::{StoreOptions, WallClock};
pub use stored::Stored;
