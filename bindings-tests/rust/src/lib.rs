// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs in Rust that the README shows, as documentation tests.
#![doc = include_str!("../../../README.md")]
