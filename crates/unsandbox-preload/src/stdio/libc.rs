// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this object needs of the C library: it is built for it alone, and has no dependency.

use core::ffi::{c_char, c_int, c_void};

pub const CLOCK_MONOTONIC: c_int = 1;
pub const CLOCK_MONOTONIC_COARSE: c_int = 6;
pub const F_GETPIPE_SZ: c_int = 1032;
pub const RTLD_NEXT: *mut c_void = core::ptr::without_provenance_mut(usize::MAX);
pub const _IOFBF: c_int = 0;
pub const _IOLBF: c_int = 1;

unsafe extern "C" {
    pub static stdout: *mut c_void;
    pub static mut environ: *mut *mut c_char;
    pub fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    #[link_name = "__errno_location"]
    pub fn errno_place() -> *mut c_int;
    pub fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    pub fn fflush_unlocked(stream: *mut c_void) -> c_int;
    pub fn ftrylockfile(stream: *mut c_void) -> c_int;
    pub fn funlockfile(stream: *mut c_void);
    pub fn fwide(stream: *mut c_void, mode: c_int) -> c_int;
    pub fn unsetenv(name: *const c_char) -> c_int;
}

// Older releases of glibc have `dlsym` in a library of its own.
#[link(name = "c")]
#[link(name = "dl")]
unsafe extern "C" {}
