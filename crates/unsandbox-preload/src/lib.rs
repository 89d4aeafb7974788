// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that the engine loads into programs. They show what a program prints at once, as long as it prints little;
//! a program that prints much has its lines gathered for some milliseconds, because a system call for each line would
//! cost several times what the program itself costs. An object has the rights of its program and needs nothing else.

#![cfg_attr(any(feature = "python", feature = "stdio"), no_std)]

#[cfg(feature = "python")]
mod python;
#[cfg(all(feature = "stdio", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod stdio;

/// Nothing in an object panics; what could is left out at its build.
#[cfg(all(any(feature = "python", feature = "stdio"), panic = "abort"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Folder of this package: the engine's build script builds the objects from it.
pub const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// `sitecustomize.py` for a Python that does not load the object.
pub const PYTHON_FALLBACK: &[u8] = include_bytes!("fallback.py");

/// The file that Ruby is told to load.
pub const RUBY: &[u8] = include_bytes!("output.rb");
