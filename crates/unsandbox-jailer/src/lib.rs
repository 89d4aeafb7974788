// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! The part that the engine and the jailer share: the place of the jailer's source, and the messages between them. No
//! other crate links the program itself (`main.rs` and its modules).

#[cfg(target_os = "linux")]
pub mod channel;
pub mod codec;
pub mod commands;
#[cfg(target_os = "linux")]
pub mod ids;
pub mod message;

/// Folder of this package: the engine's build script builds the program from it.
pub const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// Trees of the host that every jail shows read-only, where the host has them. A link (as /bin often is)
/// becomes the same link.
pub const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// The descriptor that the jailer is started with: its socket to the engine. Its arguments are the
/// process id of the host, the level (`full` or `reduced`), and the host's folder for temporary files.
pub const ENGINE_FD: i32 = 3;
