// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI of the client. Translates types, errors and ownership, and holds no rule of its own;
//! `include/unsandbox.h` is generated from the signatures and comments of this crate.

// Names and comments are for C programmers: there are no Rust callers.
#![allow(non_camel_case_types, clippy::missing_safety_doc, clippy::not_unsafe_ptr_arg_deref)]
#![allow(missing_debug_implementations)]

mod artifact;
mod boundary;
mod callback;
mod client;
mod config;
mod error;
mod events;
mod info;
mod job;
mod job_fields;
mod json;
mod log;
mod options;
mod request;
mod result;
mod result_fields;
mod status;
mod task;
mod text;
mod usage;
mod version;
