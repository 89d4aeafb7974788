// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that the engine loads into programs. They show what a program prints at once, as long as it prints little;
//! a program that prints much has its lines gathered for some milliseconds, because a system call for each line would
//! cost several times what the program itself costs. An object has the rights of its program and needs nothing else,
//! starts no thread and handles no signal.

#![cfg_attr(any(feature = "python", feature = "output"), no_std)]
// What the compiler takes from the C library by itself (memcpy, strlen) could be a program's own function.
#![cfg_attr(feature = "output", no_builtins)]

#[cfg(all(feature = "output", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod output;
#[cfg(feature = "python")]
mod python;

/// Nothing in an object panics; what could is left out at its build.
#[cfg(all(any(feature = "python", feature = "output"), panic = "abort"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: ends the process.
    unsafe {
        core::arch::asm!("ud2", options(noreturn))
    }
    #[cfg(not(target_arch = "x86_64"))]
    loop {}
}

/// Folder of this package: the engine's build script builds the objects from it.
pub const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// `sitecustomize.py` for a Python that does not load the object.
pub const PYTHON_FALLBACK: &[u8] = include_bytes!("fallback.py");

/// The file that Ruby is told to load.
pub const RUBY: &[u8] = include_bytes!("output.rb");

/// Where the engine puts the object, below the writable tree. The object knows itself by the end of its path.
pub const OBJECT: &str = "build/live/output.so";

/// A file beside it, in which the object gathers what a program writes to standard output (`output/gathered.rs`):
/// a head of sixteen bytes, of which the first eight are two numbers in the machine's order, where the text begins and
/// where it ends after the head; and the text.
pub const GATHERED: &str = "build/live/gathered";

/// The size of that file.
pub const GATHERED_BYTES: usize = 32 << 10;
